//! Asking a STUN server for one's own address (RFC 8489 section 12).

use std::net::SocketAddr;

use crate::message::{Class, Message, Method, Writer, attribute};

/// A binding request. Whoever can foresee `transaction` can answer in the server's place.
pub fn binding_request(transaction: [u8; 12]) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::Binding, Class::Request, transaction).finish(None, true);
    out
}

/// The address in the answer to that request; `None` if `datagram` is not that answer.
pub fn mapped_address(datagram: &[u8], transaction: [u8; 12]) -> Option<SocketAddr> {
    let message = Message::parse(datagram).ok()?;
    let ours = message.method == Method::Binding && message.class == Class::Success;
    (ours && message.transaction() == transaction).then(|| message.address(attribute::XOR_MAPPED_ADDRESS))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let mut answer = Vec::new();
        let addr: SocketAddr = "203.0.113.9:5000".parse().unwrap();
        Writer::new(&mut answer, Method::Binding, Class::Success, [7; 12])
            .address(attribute::XOR_MAPPED_ADDRESS, addr)
            .finish(None, false);
        assert_eq!(mapped_address(&answer, [7; 12]), Some(addr));
        assert_eq!(mapped_address(&answer, [8; 12]), None);
        assert_eq!(mapped_address(&binding_request([7; 12]), [7; 12]), None);
        assert_eq!(mapped_address(&answer[..20], [7; 12]), None);
    }
}
