//! The load generator behind `millrace load`.
