//! The LiveKit dialect of rooms: sessions, requests, responses, negotiation.
