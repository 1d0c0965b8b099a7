//! Why a rule matched.
