use bytes::BytesMut;

use super::*;

fn read(bytes: &[u8], piece: usize) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::new(Limits::default());
    let mut messages = Vec::new();
    for part in bytes.chunks(piece) {
        reader.push(part);
        while let Some(message) = reader.poll()? {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[test]
fn messages_survive_any_chunk_size_timestamp_and_piece() {
    for chunk_size in [1, 128, 4096, 1 << 20] {
        for timestamp in [0, 5, 0x00ff_fffe, 0x00ff_ffff, 0x0100_0000, u32::MAX] {
            let payload: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
            let mut out = BytesMut::new();
            let mut writer = ChunkWriter::default();
            writer.set_chunk_size(chunk_size, &mut out);
            writer.write(6, message_type::VIDEO, 1, timestamp, &payload, &mut out);
            writer.write(4, message_type::AUDIO, 1, timestamp, &payload[..3], &mut out);
            for piece in [1, 13, 100_000] {
                let messages = read(&out, piece).unwrap();
                assert_eq!(messages.len(), 3);
                assert_eq!((messages[1].timestamp, &messages[1].payload[..]), (timestamp, &payload[..]));
                assert_eq!((messages[2].kind, messages[2].stream), (message_type::AUDIO, 1));
            }
        }
    }
}

#[test]
fn short_headers_repeat_what_came_before() {
    // Laid out by hand after section 5.3.2.1, the four audio messages of the example, 32 bytes each.
    let mut bytes = vec![3, 0, 0x03, 0xe8, 0, 0, 32, 8, 0x39, 0x30, 0, 0];
    bytes.extend([1; 32]);
    bytes.extend([0x83, 0, 0, 20]);
    bytes.extend([2; 32]);
    for byte in [3, 4] {
        bytes.push(0xc3);
        bytes.extend([byte; 32]);
    }
    let messages = read(&bytes, 5).unwrap();
    let stamps: Vec<u32> = messages.iter().map(|m| m.timestamp).collect();
    assert_eq!(stamps, [1000, 1020, 1040, 1060]);
    assert!(messages.iter().all(|m| m.stream == 12345 && m.payload.len() == 32));
}

#[test]
fn chunk_stream_ids_of_two_and_three_bytes_are_told_apart() {
    // Id 64 + 10, then id 64 + 256 * 1 + 2 (the third byte is the higher one), format 0, one byte each.
    let mut bytes = vec![0x00, 10, 0, 0, 1, 0, 0, 1, 9, 1, 0, 0, 0, 0xaa];
    bytes.extend([0x01, 2, 1, 0, 0, 2, 0, 0, 1, 9, 1, 0, 0, 0, 0xbb]);
    // Format 3 on each repeats its own header.
    bytes.extend([0xc0, 10, 0xcc]);
    bytes.extend([0xc1, 2, 1, 0xdd]);
    let messages = read(&bytes, 1).unwrap();
    let got: Vec<_> = messages.iter().map(|m| (m.timestamp, m.payload[0])).collect();
    assert_eq!(got, [(1, 0xaa), (2, 0xbb), (1, 0xcc), (2, 0xdd)]);
}

#[test]
fn messages_interleave_and_an_abort_forgets_one() {
    let mut out = BytesMut::new();
    let writer = ChunkWriter::default();
    write_header(6, message_type::VIDEO, 1, 10, 200, &mut out);
    out.extend_from_slice(&[1; 128]);
    writer.write(4, message_type::AUDIO, 1, 11, &[2; 5], &mut out);
    out.extend_from_slice(&[0xc6]);
    out.extend_from_slice(&[1; 72]);
    let messages = read(&out, 9).unwrap();
    assert_eq!(
        messages.iter().map(|m| m.kind).collect::<Vec<_>>(),
        [message_type::AUDIO, message_type::VIDEO]
    );

    let mut out = BytesMut::new();
    write_header(6, message_type::VIDEO, 1, 10, 200, &mut out);
    out.extend_from_slice(&[1; 128]);
    writer.write(2, message_type::ABORT, 0, 0, &[0, 0, 0, 6], &mut out);
    writer.write(6, message_type::VIDEO, 1, 20, &[7; 3], &mut out);
    let messages = read(&out, 9).unwrap();
    assert_eq!(messages.last().map(|m| m.payload.to_vec()), Some(vec![7; 3]));
}

#[test]
fn extended_timestamps_may_be_left_out_of_continuations() {
    for repeats in [true, false] {
        let mut out = BytesMut::new();
        write_header(6, message_type::VIDEO, 1, 0x0123_4567, 130, &mut out);
        out.extend_from_slice(&[9; 128]);
        out.extend_from_slice(&[0xc6]);
        if repeats {
            out.extend_from_slice(&0x0123_4567u32.to_be_bytes());
        }
        out.extend_from_slice(&[9; 2]);
        // Without the repetition the reader needs four bytes to see that: the next message has them.
        ChunkWriter::default().write(4, message_type::AUDIO, 1, 1, &[1], &mut out);
        let messages = read(&out, 1000).unwrap();
        assert_eq!(messages[0].payload, vec![9; 130]);
        assert_eq!(messages[0].timestamp, 0x0123_4567);
        assert_eq!(messages.len(), 2);
    }
}

#[test]
fn extended_timestamps_are_read_on_every_type_of_chunk() {
    for repeats in [true, false] {
        let mut bytes = Vec::new();
        // Messages of 130 bytes, each in two chunks of chunk stream 6; all but the first say how much later they are.
        let mut message = |header: &[u8], extended: u32| {
            bytes.extend_from_slice(header);
            bytes.extend(extended.to_be_bytes());
            bytes.extend([9; 128]);
            bytes.push(0xc6);
            if repeats {
                bytes.extend(extended.to_be_bytes());
            }
            bytes.extend([9; 2]);
        };
        message(&[0x06, 0xff, 0xff, 0xff, 0, 0, 130, 9, 1, 0, 0, 0], 0x0100_0000);
        message(&[0x46, 0xff, 0xff, 0xff, 0, 0, 130, 9], 0x0200_0000);
        message(&[0x86, 0xff, 0xff, 0xff], 0x0300_0000);
        // A whole message without a header of its own: as much later again.
        message(&[0xc6], 0x0300_0000);
        // Below the bound nothing is extended.
        bytes.extend([0x86, 0, 0, 40]);
        bytes.extend([9; 128]);
        bytes.extend([0xc6, 9, 9]);
        for piece in [1, 7, 1000] {
            let messages = read(&bytes, piece).unwrap();
            let stamps: Vec<u32> = messages.iter().map(|message| message.timestamp).collect();
            assert_eq!(stamps, [0x0100_0000, 0x0300_0000, 0x0600_0000, 0x0900_0000, 0x0900_0028]);
            assert!(messages.iter().all(|message| message.payload == vec![9; 130]));
        }
    }
}

#[test]
fn zeros_behind_a_header_without_extended_timestamp_are_payload() {
    let mut out = BytesMut::new();
    write_header(6, message_type::VIDEO, 1, 0x0123_4567, 134, &mut out);
    out.extend_from_slice(&[9; 128]);
    out.extend_from_slice(&[0xc6, 0, 0, 0, 0, 7, 7]);
    ChunkWriter::default().write(4, message_type::AUDIO, 1, 1, &[1], &mut out);
    let messages = read(&out, 1000).unwrap();
    assert_eq!(messages[0].payload[128..], [0, 0, 0, 0, 7, 7]);
    assert_eq!(messages.len(), 2);
}

#[test]
fn what_would_take_memory_or_time_without_end_is_refused() {
    let mut out = BytesMut::new();
    let control = |size: u32| {
        let mut out = BytesMut::new();
        ChunkWriter::default().write(2, message_type::SET_CHUNK_SIZE, 0, 0, &size.to_be_bytes(), &mut out);
        out
    };
    assert_eq!(read(&control(0), 100), Err(ChunkError::ChunkSize(0)));
    assert_eq!(read(&control(1 << 31), 100), Err(ChunkError::ChunkSize(1 << 31)));
    // As some encoders say "as large as the message" (section 5.4.1).
    let mut endless = control((1 << 31) - 1);
    ChunkWriter::with_chunk_size(1 << 20).write(6, message_type::VIDEO, 1, 0, &[9; 100_000], &mut endless);
    assert_eq!(read(&endless, 1000).unwrap()[1].payload.len(), 100_000);
    write_header(6, message_type::VIDEO, 1, 0, 0xff_ffff, &mut out);
    assert_eq!(read(&out, 100), Err(ChunkError::TooLarge(0xff_ffff, 8 << 20)));
    // Two hundred chunk streams with a message begun on each.
    let mut out = Vec::new();
    for id in 0..200u8 {
        out.extend([0x00, id, 0, 0, 1, 0, 1, 0, 9, 1, 0, 0, 0]);
        out.extend([0; 128]);
    }
    assert_eq!(read(&out, 1000), Err(ChunkError::TooManyStreams(64)));
    assert_eq!(read(&[0xc5, 1], 10), Err(ChunkError::NoPrevious(5)));
    assert_eq!(read(&[2, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 1, 1], 10), Err(ChunkError::Control(2)));
}
