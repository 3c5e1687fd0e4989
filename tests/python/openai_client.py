"""Checks that the official `openai` Python client is content with an OpenAI-compatible service.

Usage: openai_client.py BASE_URL      (for the stand-in: http://127.0.0.1:PORT/v1)
Exits non-zero with a reason when an answer is not what the client expects.
"""

import json
import sys
import urllib.request

import openai


def check(is_so, reason):
    if not is_so:
        sys.exit(f"openai {openai.__version__}: {reason}")


def script(base, rules):
    """Tells the stand-in which calls go wrong."""
    url = base.removesuffix("/v1") + "/__script"
    request = urllib.request.Request(url, json.dumps(rules).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


def streamed(client, text, **options):
    """Streams one answer: its text, its reasons to finish, and the counts of tokens that came."""
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": text}], stream=True, **options
    )
    pieces, reasons, counts = [], [], []
    for chunk in stream:
        check(chunk.object == "chat.completion.chunk", f"a chunk calls itself {chunk.object!r}")
        if chunk.usage:
            check(chunk.choices == [], "the chunk with the counts has choices")
            counts.append(chunk.usage)
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            reasons += [choice.finish_reason] if choice.finish_reason else []
    return "".join(pieces), reasons, counts


def expect(error, client, text="hello", **options):
    """Expects that a call fails in this way, and returns the error."""
    try:
        streamed(client, text, **options)
    except error as caught:
        return caught
    except Exception as other:
        sys.exit(f"{type(other).__name__} instead of {error.__name__}: {other}")
    sys.exit(f"an answer instead of {error.__name__}")


def main(base):
    client = openai.OpenAI(base_url=base, api_key="sk-test", max_retries=0, timeout=20)
    script(base, [])

    check(any(model.id == "gpt-4o-mini" for model in client.models.list()), "`models` does not list gpt-4o-mini")

    text, reasons, counts = streamed(client, "echo:你好, stream 🙂", stream_options={"include_usage": True})
    check(text == "你好, stream 🙂", f"the streamed text is {text!r}")
    check(reasons == ["stop"], f"the reasons to finish are {reasons}")
    check(len(counts) == 1 and counts[0].total_tokens > 0, f"the counts are {counts}")
    check(streamed(client, "echo:x")[2] == [], "counts came although nobody asked for them")

    parts = [{"type": "text", "text": "echo:in parts"}]
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=[{"content": parts, "role": "user"}])
    check(whole.choices[0].message.content == "in parts", f"the whole text is {whole.choices[0].message.content!r}")
    check(whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens > 0, "the end of a whole answer")
    plain = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "nonce-4711"}])
    check("nonce-4711" in plain.choices[0].message.content, "a plain question is not repeated")

    table = [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ]
    for status, error in table:
        script(base, [{"fault": "status", "status": status, "retry_after": "1", "message": f"refused {status}"}])
        caught = expect(error, client)
        check(f"refused {status}" in caught.message, f"the message of a {status} is {caught.message!r}")
    script(base, [{"times": 1, "fault": "status", "status": 429, "retry_after": "1"}])
    patient = client.with_options(max_retries=1)
    check(streamed(patient, "echo:later")[0] == "later", "a 429 with Retry-After was not repeated")

    script(base, [{"fault": "stream-error", "after": 2, "code": "500"}])
    expect(openai.APIError, client, "echo:broken off")
    script(base, [{"fault": "hang"}])
    expect(openai.APITimeoutError, client.with_options(timeout=0.3))
    script(base, [])
    print(f"the openai {openai.__version__} client is content with {base}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1].rstrip("/"))
