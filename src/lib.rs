//! stub

pub mod notify;
