//! Whether a client has left: it closed its socket, or its sending half of it, or the connection is broken.
//!
//! The kernel knows it at once, also while input is still unread. On systems where it cannot be asked, a client
//! that left is noticed by the next read or write only.

use crate::wait::{Peer, Presence};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
const LEFT: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const LEFT: PollFlags = PollFlags::HUP;

/// True if the client has left by now. One system call.
pub(super) fn has_left(stream: &TcpStream) -> bool {
    stream.presence() != Presence::There
}

impl Peer for TcpStream {
    fn presence(&self) -> Presence {
        let mut fds = [PollFd::new(self, LEFT)];
        // An error says nothing of the client.
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        match fds[0].revents() {
            found if found.intersects(PollFlags::HUP | PollFlags::ERR) => Presence::Gone,
            found if found.is_empty() => Presence::There,
            _ => Presence::HalfClosed,
        }
    }
}

/// Returns once the client has left. Nothing is read for it.
#[cfg(target_os = "linux")]
pub(super) async fn left(stream: &TcpStream) {
    // Of a socket without urgent data this interest means just that its reading side is closed. Input is no
    // reason to return: it may be there all the time.
    let _ = stream.ready(tokio::io::Interest::PRIORITY).await;
}

/// Returns once the client has left. Nothing is read for it.
#[cfg(not(target_os = "linux"))]
pub(super) async fn left(stream: &TcpStream) {
    while !has_left(stream) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
