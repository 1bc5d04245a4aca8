//! SRTP and SRTCP contexts, profiles and replay windows.
