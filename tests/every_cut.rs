//! However a stream is cut into reads, the decoder finds the same requests and the same error.

#[path = "fuzz/decoder.rs"]
mod decoder;
#[path = "fuzz/decoder_seeds.rs"]
mod decoder_seeds;

use decoder::decode;
use decoder_seeds::STREAMS;
use kvns::resp::Limits;

const LIMITS: [Limits; 3] = [
    Limits { args: 1024, bulk_len: 16 << 20, inline_len: 64 << 10 },
    Limits { args: 4, bulk_len: 16, inline_len: 40 },
    Limits { args: 1, bulk_len: 4, inline_len: 0 },
];

#[test]
fn two_cuts_anywhere_change_nothing() {
    for limits in LIMITS {
        for stream in STREAMS {
            let whole = decode(limits, [*stream]);
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let reads = [&stream[..first], &stream[first..second], &stream[second..]];
                    let cut = decode(limits, reads);
                    assert_eq!(cut.0, whole.0, "{} cut at {first} and {second}", stream.escape_ascii());
                    assert!(whole.0.1.is_some() || cut.1 == whole.1);
                }
            }
        }
    }
}

#[test]
fn byte_at_a_time_changes_nothing() {
    for limits in LIMITS {
        for stream in STREAMS {
            let whole = decode(limits, [*stream]);
            assert_eq!(decode(limits, stream.chunks(1)).0, whole.0, "{}", stream.escape_ascii());
        }
        let valid: Vec<u8> = STREAMS[1..8].concat();
        assert_eq!(decode(limits, valid.chunks(1)).0, decode(limits, [&valid[..]]).0);
        for size in 2..40 {
            assert_eq!(decode(limits, valid.chunks(size)).0, decode(limits, [&valid[..]]).0);
        }
    }
}

#[test]
fn every_seed_passes_the_fuzz_body() {
    for shape in 0..3 {
        for cut in 0..64 {
            for stream in STREAMS {
                decoder::run(&[&[shape, cut], *stream].concat());
            }
        }
    }
}

#[test]
fn a_large_bulk_string_arrives_whole_in_small_reads() {
    let value = vec![b'x'; Limits::default().bulk_len];
    let stream = [b"*2\r\n$3\r\nGET\r\n$16777216\r\n".as_slice(), &value, b"\r\n"].concat();
    let ((requests, error), left) = decode(Limits::default(), stream.chunks(4096));
    assert_eq!((requests.len(), error, left), (1, None, 0));
    assert!(requests[0][1] == value);
}
