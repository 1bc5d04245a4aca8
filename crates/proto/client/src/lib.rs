//! A participant's media end, pure: what a browser would send and receive.
