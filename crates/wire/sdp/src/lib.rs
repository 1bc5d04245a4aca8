//! The session description: model, parser, writer.
