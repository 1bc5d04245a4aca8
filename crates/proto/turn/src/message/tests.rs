use super::*;
use crate::access::long_term_key;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Password of RFC 5769 sections 2.1 to 2.3.
const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// RFC 5769 section 2.1.
const REQUEST: &str = "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74
    00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020
    00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf";
/// RFC 5769 section 2.2.
const RESPONSE_V4: &str = "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
    00200008 0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96";
/// RFC 5769 section 2.3.
const RESPONSE_V6: &str = "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
    00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c";
/// RFC 5769 section 2.4.
const LONG_TERM: &str = "00010060 2112a442 78ad3433c6ad72c029da412e
    00060012 e3839ee38388e383aae38383e382afe382b90000
    0015001c 662f2f3439396b393534643 64f4c33346f4c3946535476793634 7341
    0014000b 6578616d706c652e6f726700 00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666";

#[test]
fn the_vectors_of_rfc_5769_are_read_and_verified() {
    let request = bytes(REQUEST);
    let message = Message::parse(&request).unwrap();
    assert_eq!((message.method, message.class), (Method::Binding, Class::Request));
    assert_eq!(message.text(attribute::USERNAME), Some("evtj:h6vY"));
    assert_eq!(message.text(attribute::SOFTWARE), Some("STUN test client"));
    assert!(message.has_fingerprint && message.verify(PASSWORD) && !message.verify(b"another"));

    for (response, addr) in
        [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let response = bytes(response);
        let message = Message::parse(&response).unwrap();
        assert_eq!(message.class, Class::Success);
        assert!(message.has_fingerprint && message.verify(PASSWORD));
        assert_eq!(message.address(attribute::XOR_MAPPED_ADDRESS), Some(addr.parse().unwrap()));
    }

    let request = bytes(LONG_TERM);
    let message = Message::parse(&request).unwrap();
    let username = message.text(attribute::USERNAME).unwrap();
    assert_eq!(username, "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}");
    assert_eq!(message.text(attribute::REALM), Some("example.org"));
    assert!(message.verify(&long_term_key(username, "example.org", "TheMatrIX")));
}

#[test]
fn what_is_written_is_what_the_vector_has() {
    // RFC 5769 pads with spaces, which a reader ignores and we do not write: SOFTWARE has no padding in section 2.1.
    let transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    let mut out = b"before".to_vec();
    Writer::new(&mut out, Method::Binding, Class::Success, transaction)
        .attribute(attribute::SOFTWARE, b"test vector ")
        .address(attribute::XOR_MAPPED_ADDRESS, "192.0.2.1:32853".parse().unwrap())
        .finish(Some(PASSWORD), true);
    let written = out.split_off(6);
    let message = Message::parse(&written).unwrap();
    assert!(message.verify(PASSWORD) && message.has_fingerprint);
    assert_eq!(message.address(attribute::XOR_MAPPED_ADDRESS).unwrap().to_string(), "192.0.2.1:32853");
    assert_eq!(message.transaction(), transaction);
    for addr in ["[2001:db8::1]:1", "0.0.0.0:0", "255.255.255.255:65535"] {
        let addr: SocketAddr = addr.parse().unwrap();
        let mut out = Vec::new();
        Writer::new(&mut out, Method::Data, Class::Indication, transaction)
            .address(attribute::XOR_PEER_ADDRESS, addr)
            .finish(None, false);
        let message = Message::parse(&out).unwrap();
        assert_eq!((message.method, message.class), (Method::Data, Class::Indication));
        assert_eq!(message.address(attribute::XOR_PEER_ADDRESS), Some(addr));
    }
}

#[test]
fn methods_and_classes_survive_their_bits() {
    use Method::{Allocate, Binding, ChannelBind, CreatePermission, Data, Refresh, Send};
    for method in [Binding, Allocate, Refresh, Send, Data, CreatePermission, ChannelBind] {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            let mut out = Vec::new();
            Writer::new(&mut out, method, class, [1; 12]).finish(None, false);
            let message = Message::parse(&out).unwrap();
            assert_eq!((message.method, message.class), (method, class));
        }
    }
    // RFC 8489 section 5: Binding is 0x0001, its success 0x0101; RFC 8656 section 17: Allocate error is 0x0113.
    let mut out = Vec::new();
    Writer::new(&mut out, Allocate, Class::Error, [0; 12]).finish(None, false);
    assert_eq!(out[..2], [1, 0x13]);
}

#[test]
fn what_stands_behind_the_integrity_is_not_read() {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::Allocate, Class::Request, [0; 12]).finish(Some(b"key"), false);
    // When: somebody on the way adds a lifetime and repairs the length.
    out.extend([0, 0x0d, 0, 4, 0, 0, 14, 16]);
    let length = (out.len() - HEADER) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    let message = Message::parse(&out).unwrap();
    assert!(message.verify(b"key"));
    assert_eq!(message.u32(attribute::LIFETIME), None);
}

#[test]
fn damaged_messages_are_refused_and_never_panic() {
    let whole = [bytes(REQUEST), bytes(RESPONSE_V6), bytes(LONG_TERM)];
    for message in &whole {
        for len in 0..message.len() {
            assert!(Message::parse(&message[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..message.len() * 8 {
            let mut copy = message.clone();
            copy[bit / 8] ^= 1 << (bit % 8);
            if let Ok(message) = Message::parse(&copy) {
                // Only the message without fingerprint gets here, and its integrity does not hold.
                let key = long_term_key(
                    "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}",
                    "example.org",
                    "TheMatrIX",
                );
                assert!(!message.verify(&key), "bit {bit}");
                let _ = message.addresses(attribute::XOR_PEER_ADDRESS);
            }
        }
    }
    let mut odd = bytes(LONG_TERM);
    odd[0] = 0x3f;
    assert_eq!(Message::parse(&odd).unwrap_err(), Malformed::NotStun);
}
