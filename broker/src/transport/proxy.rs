//! The PROXY protocol: a load balancer's first bytes say whose connection it passes on, in a line (version 1) or in binary
//! (version 2).
//!
//! Only for listeners whose clients all come through such a proxy: a header that is missing or wrong ends the connection,
//! since otherwise anybody could claim any address.

use std::io::{self, Read};
use std::net::SocketAddr;

use ppp::v1;
use ppp::v2;

/// A line of version 1 with its CR LF.
const LINE_MAX: usize = 107;
/// Bytes of version 2 that its fixed part announces: addresses and extensions.
const EXTENSIONS_MAX: usize = 4096;
/// Version 2's signature, version, family and length.
const FIXED_SIZE: usize = 16;

/// What the proxy says of the client, or `None` for a connection of the proxy's own (a health check).
///
/// Reads exactly the header: what follows it is the client's.
///
/// # Errors
/// The stream fails or ends, or does not begin with a header.
pub fn read_header(stream: &mut impl Read) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; FIXED_SIZE - 1];
    stream.read_exact(&mut header)?; // the shortest line of version 1 is as long
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        read_more(stream, &mut header, 1)?;
        let size = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if size > EXTENSIONS_MAX {
            return Err(invalid(&format!("announces {size} bytes, at most {EXTENSIONS_MAX} are taken")));
        }
        read_more(stream, &mut header, size)?;
        return client_of_v2(&header);
    }
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(invalid("is missing: expected 'PROXY ' or the signature of version 2"));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() >= LINE_MAX {
            return Err(invalid("has a line that does not end"));
        }
        read_more(stream, &mut header, 1)?;
    }
    client_of_v1(&header)
}

fn read_more(stream: &mut impl Read, header: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let had = header.len();
    header.resize(had + count, 0);
    stream.read_exact(&mut header[had..])
}

fn client_of_v1(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let header = v1::Header::try_from(line).map_err(|error| invalid(&error.to_string()))?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(tcp) => Some(SocketAddr::from((tcp.source_address, tcp.source_port))),
        v1::Addresses::Tcp6(tcp) => Some(SocketAddr::from((tcp.source_address, tcp.source_port))),
        v1::Addresses::Unknown => None,
    })
}

fn client_of_v2(bytes: &[u8]) -> io::Result<Option<SocketAddr>> {
    let header = v2::Header::try_from(bytes).map_err(|error| invalid(&error.to_string()))?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(tcp) => Some(SocketAddr::from((tcp.source_address, tcp.source_port))),
        v2::Addresses::IPv6(tcp) => Some(SocketAddr::from((tcp.source_address, tcp.source_port))),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the PROXY protocol's header {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header says, and what is left for the client.
    fn check(input: &[u8], expected: Result<Option<&str>, &str>, rest: &[u8]) {
        let mut stream = input;
        let found = read_header(&mut stream);
        match (&found, expected) {
            (Ok(client), Ok(wanted)) => assert_eq!(*client, wanted.map(|addr| addr.parse().unwrap()), "{input:?}"),
            (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            _ => panic!("{found:?} instead of {expected:?}"),
        }
        if found.is_ok() {
            assert_eq!(stream, rest);
        }
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let size = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &size, addresses].concat()
    }

    #[test]
    fn version_1() {
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 5672\r\nAMQP", Ok(Some("192.0.2.7:5000")), b"AMQP");
        check(b"PROXY TCP6 2001:db8::1 ::1 5000 5672\r\n", Ok(Some("[2001:db8::1]:5000")), b"");
        check(b"PROXY UNKNOWN\r\nAMQP", Ok(None), b"AMQP");
        check(b"AMQP\0\0\x09\x01........", Err("is missing"), b"");
        check(b"PROXY TCP4 192.0.2.7", Err("failed to fill"), b"");
        check(b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n", Err("header"), b"");
        check(&[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(), Err("does not end"), b"");
    }

    #[test]
    fn version_2() {
        let addresses = [192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0x16, 0x28];
        check(&[v2(1, 0x11, &addresses), b"AMQP".to_vec()].concat(), Ok(Some("192.0.2.7:5000")), b"AMQP");
        check(&v2(0, 0x00, &[]), Ok(None), b"");
        check(&v2(1, 0x11, &addresses[..6]), Err("header"), b"");
        check(&v2(1, 0x11, &addresses)[..20], Err("failed to fill"), b"");
        check(&[&v2(1, 0x11, &[])[..14], &[0xFF, 0xFF]].concat(), Err("announces 65535"), b"");
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut state = 3u32;
        for _ in 0..20_000 {
            let mut bytes =
                if state & 1 == 0 { v2(1, 0x21, &[0; 36]) } else { b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec() };
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            let _ = read_header(&mut bytes.as_slice());
        }
    }
}
