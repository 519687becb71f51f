//! Messages between connections: mailboxes, and who listens to what.

pub mod hub;
pub mod mailbox;
pub mod prefixes;
