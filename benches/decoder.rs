//! Requests and replies: what the protocol alone costs for each command of a pipelined batch.

use bytes::Buf;
use criterion::{BatchSize, Criterion, Throughput};
use kvns::resp::{Decoder, Limits, ReplyWriter};
use std::hint::black_box;
use std::time::Duration;

const PIPELINE: usize = 100;

fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Decodes one batch and touches every argument, as a dispatcher does.
fn run_batch(decoder: &mut Decoder, input: &[u8]) -> usize {
    let decoded = decoder.decode(input);
    let mut bytes = 0;
    for index in 0..decoder.count() {
        bytes += decoder.request(input, index).iter().map(<[u8]>::len).sum::<usize>();
    }
    black_box(bytes) + decoded.consumed
}

fn pipelines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let key = b"key:000000123456";
    let mut args: Vec<&[u8]> = vec![key; 21];
    args[0] = b"MSET";
    for (name, request) in [
        ("get", encode(&[b"GET", key])),
        ("set of 32 bytes", encode(&[b"SET", key, &[b'x'; 32]])),
        ("set of 256 bytes", encode(&[b"SET", key, &[b'x'; 256]])),
        ("mset of 10 keys", encode(&args)),
        ("inline get", b"GET key:000000123456\r\n".to_vec()),
    ] {
        let input = request.repeat(PIPELINE);
        let mut decoder = Decoder::new(Limits::default());
        group.bench_function(name, |bencher| bencher.iter(|| run_batch(&mut decoder, black_box(&input))));
    }
    group.finish();
}

fn large_bulk(criterion: &mut Criterion) {
    let stream = encode(&[b"SET", b"key", &vec![b'x'; 16 << 20]]);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("16 MiB in reads of 4 KiB", |bencher| {
        bencher.iter_batched(
            || Decoder::new(Limits::default()),
            |mut decoder| {
                for end in (4096..stream.len()).step_by(4096) {
                    black_box(decoder.decode(&stream[..end]));
                }
                run_batch(&mut decoder, &stream)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    type Write = fn(&mut ReplyWriter);
    let writes: [(&str, Write); 4] = [
        ("bulk of 32 bytes", |reply| reply.bulk(&[b'x'; 32])),
        ("simple", |reply| reply.simple("OK")),
        ("integer", |reply| reply.integer(123_456)),
        ("double", |reply| reply.double(0.1)),
    ];
    for (name, write) in writes {
        let mut reply = ReplyWriter::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..PIPELINE {
                    write(black_box(&mut reply));
                }
                reply.advance(black_box(reply.pending()));
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    pipelines(&mut criterion);
    large_bulk(&mut criterion);
    replies(&mut criterion);
    criterion.final_summary();
}
