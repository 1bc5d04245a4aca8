//! HTTP: LiveKit's WebSocket, guest tokens, the embedded web page.
