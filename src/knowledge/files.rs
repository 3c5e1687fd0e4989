//! The files behind a section: which there are, and what is in them. Blocking; the ingester calls it on the pool.

use super::Body;
use super::chunk::FORMAT;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Largest document.
const BYTES: u64 = 4 << 20;
/// Files of one section, at most.
const FILES: usize = 10_000;
/// Folders below a folder, at most.
const DEPTH: usize = 16;
/// The path that stands for the user guide.
const GUIDE: &str = "builtin:guide";

/// The user guide, as it was when the program was built.
#[derive(rust_embed::Embed)]
#[folder = "docs/guide"]
struct Guide;

/// Where a document's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Guide(String),
    File(PathBuf),
}

/// What shows without reading that a file has not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A document that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Unique in its section: the folder's name and the path below it.
    pub name: String,
    pub stamp: Stamp,
    place: Place,
}

/// What a section's paths hold.
#[derive(Debug, Default)]
pub struct Scan {
    pub found: Vec<Found>,
    /// Paths that could not be looked through. What they held before may still be there.
    pub problems: Vec<String>,
}

/// Looks through files and folders for Markdown and text.
///
/// Hidden entries are passed over. A link inside a folder counts when it leads to a file inside that folder; links to
/// folders, and links that lead out, are never followed.
pub fn scan(paths: &[String]) -> Scan {
    let mut scan = Scan::default();
    for path in paths {
        match path.strip_prefix("builtin:") {
            Some(_) if path == GUIDE => scan.found.extend(guide()),
            Some(_) => {
                scan.problems.push(format!("`{path}`: there is no such built-in; `{GUIDE}` is the one there is"))
            }
            None => walk_root(Path::new(path), &mut scan),
        }
    }
    let mut names = HashSet::new();
    for found in &mut scan.found {
        let name = found.name.clone();
        let mut number = 2;
        while !names.insert(found.name.clone()) {
            found.name = format!("{name} ({number})");
            number += 1;
        }
    }
    scan
}

fn guide() -> impl Iterator<Item = Found> {
    Guide::iter().filter(|path| is_readable(Path::new(path.as_ref()))).map(|path| {
        let bytes = Guide::get(&path).map_or(0, |file| file.data.len() as u64);
        Found {
            name: format!("guide/{path}"),
            stamp: Stamp { bytes, modified: None },
            place: Place::Guide(path.into_owned()),
        }
    })
}

fn walk_root(path: &Path, scan: &mut Scan) {
    let resolved = path.canonicalize().and_then(|root| Ok((root.metadata()?, root)));
    let (metadata, root) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return scan.problems.push(format!("`{}`: {error}", path.display())),
    };
    let name = path.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned();
    if metadata.is_dir() {
        walk(&root, &root, &name, 0, scan);
    } else {
        take(&root, name, &metadata, scan);
    }
}

/// Looks through one folder below `root`, in the order of names.
fn walk(root: &Path, folder: &Path, name: &str, depth: usize, scan: &mut Scan) {
    let mut entries: Vec<_> = match folder.read_dir() {
        Ok(entries) => entries.flatten().collect(),
        Err(error) => return scan.problems.push(format!("`{name}`: {error}")),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if file_name.starts_with('.') {
            continue;
        }
        let name = format!("{name}/{file_name}");
        if kind.is_dir() {
            match depth {
                ..DEPTH => walk(root, &entry.path(), &name, depth + 1, scan),
                _ => scan.problems.push(format!("`{name}`: more than {DEPTH} folders deep")),
            }
            continue;
        }
        let Ok(path) = entry.path().canonicalize() else { continue };
        let Ok(metadata) = path.metadata() else { continue };
        if path.starts_with(root) && metadata.is_file() && is_readable(Path::new(&file_name)) {
            take(&path, name, &metadata, scan);
        }
    }
}

fn take(path: &Path, name: String, metadata: &std::fs::Metadata, scan: &mut Scan) {
    if scan.found.len() >= FILES {
        if scan.problems.last().is_none_or(|problem| !problem.starts_with("too many")) {
            scan.problems.push(format!("too many files: only the first {FILES} are taken in"));
        }
        return;
    }
    let stamp = Stamp { bytes: metadata.len(), modified: metadata.modified().ok() };
    scan.found.push(Found { name, stamp, place: Place::File(path.to_path_buf()) });
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("md") || ext.eq_ignore_ascii_case("markdown"))
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("txt") || ext.eq_ignore_ascii_case("text"))
}

fn is_readable(path: &Path) -> bool {
    is_markdown(path) || is_text(path)
}

/// Reads a document and answers the hash of its content, cut at `chunk_chars`, with it.
pub fn read(found: &Found, chunk_chars: usize) -> (String, Body) {
    let body = match bytes_of(&found.place) {
        Ok(bytes) => body_of(&found.place, bytes),
        Err(reason) => Body::Unreadable(reason),
    };
    let content = match &body {
        Body::Markdown(text) | Body::Text(text) | Body::Unreadable(text) => text,
    };
    let mut hasher = Sha256::new();
    hasher.update(format!("{FORMAT} {chunk_chars}\n"));
    hasher.update(content);
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (hash, body)
}

fn bytes_of(place: &Place) -> Result<Vec<u8>, String> {
    let path = match place {
        Place::Guide(path) => {
            let file = Guide::get(path).ok_or("it is not part of this build")?;
            return Ok(file.data.into_owned());
        }
        Place::File(path) => path,
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > BYTES {
        return Err(format!("it is larger than {} MiB; split it", BYTES >> 20));
    }
    Ok(bytes)
}

fn body_of(place: &Place, bytes: Vec<u8>) -> Body {
    let path = match place {
        Place::Guide(path) => Path::new(path),
        Place::File(path) => path,
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Body::Unreadable("it is not UTF-8 text; save it as UTF-8".into());
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    match (is_markdown(path), is_text(path)) {
        (true, _) => Body::Markdown(text),
        (_, true) => Body::Text(text),
        _ => Body::Unreadable("only Markdown (.md) and text (.txt) files can be read".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(paths: &[&Path]) -> (Vec<String>, Vec<String>) {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let scan = scan(&paths);
        (scan.found.into_iter().map(|found| found.name).collect(), scan.problems)
    }

    #[test]
    fn folders_are_walked_and_nothing_leads_out() {
        let temp = tempfile::tempdir().unwrap();
        let (inside, outside) = (temp.path().join("docs"), temp.path().join("secret.md"));
        fs::create_dir_all(inside.join("deep/.git")).unwrap();
        fs::write(&outside, "secret").unwrap();
        for file in ["a.md", "deep/b.TXT", "deep/.git/c.md", ".hidden.md", "image.png"] {
            fs::write(inside.join(file), "text").unwrap();
        }
        std::os::unix::fs::symlink(&outside, inside.join("out.md")).unwrap();
        std::os::unix::fs::symlink("/etc", inside.join("etc")).unwrap();
        std::os::unix::fs::symlink(inside.join("a.md"), inside.join("z.md")).unwrap();
        std::os::unix::fs::symlink(&inside, inside.join("deep/loop")).unwrap();
        assert_eq!(names(&[&inside]).0, ["docs/a.md", "docs/deep/b.TXT", "docs/z.md"]);
        let twice = names(&[&inside.join("a.md"), &inside.join("a.md"), &temp.path().join("gone")]);
        assert_eq!(twice.0, ["a.md", "a.md (2)"]);
        assert_eq!(twice.1.len(), 1, "{:?}", twice.1);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let temp = tempfile::tempdir().unwrap();
        let big = vec![b'x'; BYTES as usize + 1];
        let table: [(&str, &[u8], &str); 4] = [
            ("latin.md", b"caf\xe9", "not UTF-8"),
            ("big.md", &big, "larger than 4 MiB"),
            ("letter.docx", b"PK", "only Markdown"),
            ("bom.md", "\u{feff}# Title".as_bytes(), "# Title"),
        ];
        for (name, bytes, expected) in table {
            let path = temp.path().join(name);
            fs::write(&path, bytes).unwrap();
            let scan = scan(&[path.display().to_string()]);
            let (hash, body) = read(&scan.found[0], 1000);
            assert_eq!(hash.len(), 64, "{name}");
            let (Body::Markdown(text) | Body::Text(text) | Body::Unreadable(text)) = body;
            assert!(text.contains(expected) && !text.starts_with('\u{feff}'), "{name}: {text:.40}");
        }
    }

    #[test]
    fn the_guide_is_built_in_and_its_hash_follows_the_passage_size() {
        let scan = scan(&["builtin:guide".into(), "builtin:nothing".into()]);
        assert!(scan.found.iter().any(|found| found.name.starts_with("guide/zh/")));
        assert_eq!(scan.problems.len(), 1);
        let first = &scan.found[0];
        assert_eq!(read(first, 1000).0, read(first, 1000).0);
        assert_ne!(read(first, 1000).0, read(first, 900).0);
    }
}
