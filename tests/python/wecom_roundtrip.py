"""WeCom callbacks made and opened by `wechatpy`, an implementation that is not ours.

Usage: wecom_roundtrip.py trips TOKEN AES_KEY CORP_ID      round trips over stdin and stdout, as JSON lines
       wecom_roundtrip.py post URL TOKEN AES_KEY CORP_ID   one callback for each text that comes as a JSON line
Exits non-zero with a reason when the two do not agree.

`trips` reads `{"text", "encrypt", "timestamp", "nonce", "signature"}`, opens each, and expects a mutation of each to be
refused; then it writes as many of its own.
"""

import json
import random
import sys
import time
import urllib.parse
import urllib.request

from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.utils import to_text

RANDOM = random.Random(20261125)
ALPHABET = "abc XYZ019 &<>\"']]>\n\t中文企业微信עבריתعربي🙂👩‍👩‍👧é\u202e"


def random_text():
    return "".join(RANDOM.choice(ALPHABET) for _ in range(RANDOM.choice([0, 1, 15, 16, 17, 31, 32, 200, 3000])))


def opened(crypto, message):
    envelope = {"Encrypt": message["encrypt"]}
    return to_text(crypto.decrypt_message(envelope, message["signature"], message["timestamp"], message["nonce"]))


def mutated(message):
    """The message with one character of one of its fields changed."""
    field = RANDOM.choice(["encrypt", "timestamp", "nonce", "signature"])
    text = message[field]
    at = RANDOM.randrange(len(text))
    other = "0" if text[at] != "0" else "1"
    return {**message, field: text[:at] + other + text[at + 1 :]}


def sealed(crypto, text, timestamp=None):
    timestamp = timestamp or str(int(time.time()))
    nonce = str(RANDOM.randrange(10**9))
    xml = crypto.encrypt_message(text, nonce, timestamp)
    between = lambda begin, end: xml.split(begin, 1)[1].split(end, 1)[0]
    encrypt = between("<Encrypt><![CDATA[", "]]></Encrypt>")
    signature = between("<MsgSignature><![CDATA[", "]]></MsgSignature>")
    return {"encrypt": encrypt, "signature": signature, "timestamp": timestamp, "nonce": nonce}, xml


def trips(crypto):
    messages = [json.loads(line) for line in sys.stdin]
    for number, message in enumerate(messages):
        text = opened(crypto, message)
        if text != message["text"]:
            sys.exit(f"message {number}: {text!r} instead of {message['text']!r}")
        try:
            opened(crypto, mutated(message))
        except Exception:
            continue
        sys.exit(f"message {number}: a mutation was taken")
    for _ in messages:
        text = random_text()
        message, _ = sealed(crypto, text)
        print(json.dumps({"text": text, "mutated": mutated(message), **message}))


def post(crypto, url, corp_id):
    for number, line in enumerate(sys.stdin):
        user, text = json.loads(line)
        now = int(time.time())
        inner = (
            f"<xml><ToUserName><![CDATA[{corp_id}]]></ToUserName><FromUserName><![CDATA[{user}]]></FromUserName>"
            f"<CreateTime>{now}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{text}]]></Content>"
            f"<MsgId>{number + 1}</MsgId><AgentID>1000002</AgentID></xml>"
        )
        message, xml = sealed(crypto, inner)
        names = {"msg_signature": "signature", "timestamp": "timestamp", "nonce": "nonce"}
        query = urllib.parse.urlencode({name: message[field] for name, field in names.items()})
        with urllib.request.urlopen(urllib.request.Request(f"{url}?{query}", xml.encode())) as response:
            if response.status != 200:
                sys.exit(f"HTTP {response.status} for {text!r}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["trips", token, key, corp_id]:
            trips(WeChatCrypto(token, key, corp_id))
        case ["post", url, token, key, corp_id]:
            post(WeChatCrypto(token, key, corp_id), url, corp_id)
        case _:
            sys.exit(__doc__)
