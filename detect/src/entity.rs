//! Who an event is about.
