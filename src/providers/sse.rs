//! Server-sent events out of byte chunks that were cut anywhere, with limits on what is held.
//!
//! Format: HTML Living Standard, "9.2.6 Interpreting an event stream"
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>, read 2026-11-25).

/// The longest line, and the most data of one event, in bytes.
const MAX_LINE: usize = 256 * 1024;
const MAX_EVENT: usize = 512 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// An event stream that would need more memory than we give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooBig {
    #[error("a line of more than {MAX_LINE} bytes")]
    Line,
    #[error("an event of more than {MAX_EVENT} bytes")]
    Event,
}

/// Finds events. Takes LF, CRLF and CR, comments, several `data:` lines in one event, and a chunk border anywhere,
/// also inside a character. Only `data` matters to us; `event`, `id` and `retry` are passed over.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of the event that is being read, or of the one that was just given out.
    data: Vec<u8>,
    has_data: bool,
    given_out: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    has_begun: bool,
}

impl Scanner {
    /// The data of the next event in `input`, which moves on to the first byte after it. `None` when `input` is used
    /// up: call again with the next chunk.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, TooBig> {
        self.forget_given_out();
        while let Some((head, tail)) = self.split_line(input) {
            *input = tail;
            if self.line.is_empty() {
                self.take_line(head)?;
            } else {
                self.keep(head)?;
                let line = std::mem::take(&mut self.line);
                self.take_line(&line)?;
            }
            if self.given_out {
                return Ok(Some(&self.data));
            }
        }
        let rest = std::mem::take(input);
        self.keep(rest)?;
        Ok(None)
    }

    /// What the stream ended in: the data of an event that was not closed by an empty line, if there is one.
    pub fn finish(&mut self) -> Result<Option<&[u8]>, TooBig> {
        self.forget_given_out();
        let line = std::mem::take(&mut self.line);
        self.take_line(&line)?;
        Ok(self.has_data.then_some(self.data.as_slice()))
    }

    fn forget_given_out(&mut self) {
        if std::mem::take(&mut self.given_out) {
            self.data.clear();
            self.has_data = false;
        }
    }

    /// Splits `input` at the end of its first line; the line end belongs to neither half.
    fn split_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if self.after_cr {
            let (first, rest) = input.split_first()?;
            self.after_cr = false;
            if *first == b'\n' {
                *input = rest;
            }
        }
        let at = input.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let (head, tail) = input.split_at(at);
        let (end, tail) = tail.split_first()?;
        self.after_cr = *end == b'\r';
        Some((head, tail))
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooBig> {
        if self.line.len() + part.len() > MAX_LINE {
            return Err(TooBig::Line);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), TooBig> {
        let line = match std::mem::replace(&mut self.has_begun, true) {
            false => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            true => line,
        };
        if line.is_empty() {
            self.given_out = self.has_data;
            return Ok(());
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[][..],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return Ok(()),
        };
        if self.data.len() + value.len() >= MAX_EVENT {
            return Err(TooBig::Event);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All events of a stream that comes in these chunks, the unclosed one last.
    fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, TooBig> {
        let mut scanner = Scanner::default();
        let mut events = Vec::new();
        for chunk in chunks {
            let mut rest = chunk;
            while let Some(event) = scanner.next(&mut rest)? {
                events.push(event.to_vec());
            }
            assert!(rest.is_empty());
        }
        events.extend(scanner.finish()?.map(<[u8]>::to_vec));
        Ok(events)
    }

    fn texts(stream: &str) -> Vec<String> {
        scan([stream.as_bytes()]).unwrap().into_iter().map(|event| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn events_come_out_of_every_spelling() {
        let table: &[(&str, &str, &[&str])] = &[
            ("line feeds", "data: a\n\ndata: b\n\n", &["a", "b"]),
            ("both", "data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("carriage returns", "data: a\r\rdata: b\r\r", &["a", "b"]),
            ("no space", "data:a\n\n", &["a"]),
            ("only one space is taken", "data:  a\n\n", &[" a"]),
            ("several lines join", "data: a\ndata: b\ndata:\n\n", &["a\nb\n"]),
            ("comments", ": OPENROUTER PROCESSING\n\n: ping\ndata: a\n:\n\n", &["a"]),
            ("other fields", "event: x\nid: 1\nretry: 5\ndata: a\n\nevent: y\n\n", &["a"]),
            ("a field without a colon", "data\n\n", &[""]),
            ("a longer name is another field", "database: x\n\n", &[]),
            ("byte order mark", "\u{feff}data: a\n\n", &["a"]),
            ("unclosed event", "data: a\n\ndata: b", &["a", "b"]),
            ("characters", "data: 你好🙂\n\n", &["你好🙂"]),
            ("nothing", "", &[]),
        ];
        for (case, stream, expected) in table {
            assert_eq!(texts(stream), *expected, "{case}");
        }
    }

    #[test]
    fn what_is_held_has_a_limit() {
        let long_line = vec![b'x'; MAX_LINE + 1];
        assert_eq!(scan(long_line.chunks(1000)), Err(TooBig::Line));
        let line = format!("data: {}\n", "x".repeat(100_000));
        let long_event = line.repeat(6);
        assert_eq!(scan(long_event.as_bytes().chunks(1000)), Err(TooBig::Event));
        let many_events = format!("{line}\n").repeat(20);
        assert_eq!(scan(many_events.as_bytes().chunks(1000)).unwrap().len(), 20);
    }

    #[test]
    fn the_vectors_read_the_same_cut_at_every_byte() {
        let vectors = [
            include_bytes!("../../tests/fixtures/openai/stream_text.sse").as_slice(),
            include_bytes!("../../tests/fixtures/openai/stream_litellm_quirks.sse").as_slice(),
        ];
        for vector in vectors {
            let whole = scan([vector]).unwrap();
            assert_eq!(whole.last().unwrap(), b"[DONE]");
            for at in 0..vector.len() {
                let (head, tail) = vector.split_at(at);
                assert_eq!(scan([head, tail]).unwrap(), whole, "cut at {at}");
            }
        }
    }

    proptest! {
        #![proptest_config(crate::properties(256))]

        #[test]
        fn cuts_change_nothing(
            stream in proptest::collection::vec("(data: ?|:|event: |)[a:你\r\n ]{0,6}(\n|\r|\r\n|)", 0..12),
            cuts in proptest::collection::vec(1usize..9, 1..60),
        ) {
            let bytes = stream.concat().into_bytes();
            let mut rest = bytes.as_slice();
            let mut chunks = Vec::new();
            for cut in cuts {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            chunks.push(rest);
            prop_assert_eq!(scan(chunks), scan([bytes.as_slice()]));
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(scan([bytes.as_slice()]).is_ok());
        }
    }
}
