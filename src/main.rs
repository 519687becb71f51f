//! The kvns server binary: settings, logging, engine, server, exit code.

fn main() {}
