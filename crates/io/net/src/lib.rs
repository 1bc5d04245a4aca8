//! UDP in batches, TCP framing, polling and pinning: the only unsafe code.
