//! The decoder under arbitrary bytes in arbitrary reads: shared by the fuzz target and the smoke test.

use kvns::resp::{Decoder, Limits, OwnedRequest, Request};

/// Requests as owned arguments, and the text of the error behind them.
pub type Outcome = (Vec<Vec<Vec<u8>>>, Option<String>);

/// Decodes what arrives in these reads as a connection does, and checks what holds for every input. Also
/// returns the number of bytes left over.
pub fn decode<'a>(limits: Limits, reads: impl IntoIterator<Item = &'a [u8]>) -> (Outcome, usize) {
    let mut decoder = Decoder::new(limits);
    let mut buffer = Vec::new();
    let mut requests = Vec::new();
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            let decoded = decoder.decode(&buffer);
            for index in 0..decoder.count() {
                let request = decoder.request(&buffer, index);
                check_request(request, limits);
                requests.push(request.iter().map(<[u8]>::to_vec).collect());
            }
            if let Some(refused) = &decoded.refused {
                assert!(refused.reason().contains("exceed KVNS_MAX_RESP_"));
                // An empty request stands for one that was refused.
                requests.push(Vec::new());
            }
            if let Some(error) = decoded.error {
                let message = String::from_utf8_lossy(&error.message()).into_owned();
                assert!(message.starts_with("Protocol error: ") && !message.contains(['\r', '\n']));
                return ((requests, Some(message)), buffer.len() - decoded.consumed);
            }
            assert!(decoded.more || decoder.wanted() <= limits.bulk_len + 2);
            let has_found = decoder.count() > 0 || decoded.refused.is_some();
            assert!(!decoded.more || has_found, "a bounded call without a request would never end");
            buffer.drain(..decoded.consumed);
            if !decoded.more {
                break;
            }
        }
    }
    ((requests, None), buffer.len())
}

fn check_request(request: Request<'_>, limits: Limits) {
    assert!((1..=limits.args).contains(&request.len()));
    assert_eq!(request.get(0), Some(request.name()));
    assert_eq!(request.get(request.len()), None);
    let owned: OwnedRequest = request.to_owned();
    assert!(owned.as_request().iter().eq(request.iter()));
}

/// The array form of a request.
fn encode(request: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for arg in request {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Runs one input: its first two bytes choose the limits and the size of the reads, the rest is the stream.
/// However it is cut, the same requests and the same error come out; and requests written as arrays come back.
pub fn run(data: &[u8]) {
    let [shape, cut, stream @ ..] = data else { return };
    let limits = match shape % 3 {
        0 => Limits::default(),
        1 => Limits { args: 4, bulk_len: 16, inline_len: 40 },
        _ => Limits { args: 1, bulk_len: 0, inline_len: 0 },
    };
    let (whole, left) = decode(limits, [stream]);
    let size = usize::from(*cut) % 64 + 1;
    let (pieces, left_of_pieces) = decode(limits, stream.chunks(size));
    assert_eq!(whole, pieces, "reads of {size} bytes change the outcome");
    assert!(whole.1.is_some() || left == left_of_pieces);

    let kept: Vec<_> = whole.0.into_iter().filter(|request| !request.is_empty()).collect();
    let encoded: Vec<u8> = kept.iter().flat_map(|request| encode(request)).collect();
    let unlimited = Limits { bulk_len: usize::MAX - 2, ..limits };
    assert_eq!(decode(unlimited, [&encoded[..]]), ((kept, None), 0));
}
