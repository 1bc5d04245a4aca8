//! AMF0, the values in RTMP commands and FLV script tags ("AMF 0 Specification", Adobe, 2007).
//!
//! AMF3 appears only as the marker 0x11 before a command (RTMP message types 15 and 17); its body is AMF0
//! again, which is all that publishers send.

use bytes::{BufMut, BytesMut};

/// Values nested deeper than this are refused: real commands use two levels.
const MAX_DEPTH: usize = 16;

/// Properties and elements of one message. Real metadata has about thirty.
const MAX_VALUES: usize = 2_048;

/// An AMF0 value. Objects keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Boolean(bool),
    String(String),
    Object(Vec<(String, Value)>),
    /// An ECMA array: an object with a count that nobody trusts.
    Map(Vec<(String, Value)>),
    Array(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
    Null,
    Undefined,
}

/// Bytes that are not AMF0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("AMF value ends early")]
    Truncated,
    #[error("AMF marker {0:#04x} is not known")]
    Marker(u8),
    #[error("AMF values are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("AMF message holds more than {MAX_VALUES} values")]
    TooMany,
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The properties of an object or map.
    pub fn properties(&self) -> &[(String, Value)] {
        match self {
            Self::Object(list) | Self::Map(list) => list,
            _ => &[],
        }
    }

    /// A property of an object or map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.properties().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// An object of these properties.
    pub fn object<const N: usize>(properties: [(&str, Value); N]) -> Self {
        Self::Object(properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Appends the value's bytes.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Number(number) => {
                out.put_u8(marker::NUMBER);
                out.put_f64(*number);
            }
            Self::Boolean(value) => {
                out.put_u8(marker::BOOLEAN);
                out.put_u8(u8::from(*value));
            }
            Self::String(text) => match u16::try_from(text.len()) {
                Ok(len) => {
                    out.put_u8(marker::STRING);
                    out.put_u16(len);
                    out.put_slice(text.as_bytes());
                }
                Err(_) => {
                    out.put_u8(marker::LONG_STRING);
                    out.put_u32(text.len() as u32);
                    out.put_slice(text.as_bytes());
                }
            },
            Self::Object(list) => {
                out.put_u8(marker::OBJECT);
                write_properties(list, out);
            }
            Self::Map(list) => {
                out.put_u8(marker::ECMA_ARRAY);
                out.put_u32(list.len() as u32);
                write_properties(list, out);
            }
            Self::Array(list) => {
                out.put_u8(marker::STRICT_ARRAY);
                out.put_u32(list.len() as u32);
                for value in list {
                    value.write(out);
                }
            }
            Self::Date(millis) => {
                out.put_u8(marker::DATE);
                out.put_f64(*millis);
                out.put_i16(0);
            }
            Self::Null => out.put_u8(marker::NULL),
            Self::Undefined => out.put_u8(marker::UNDEFINED),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

fn write_properties(list: &[(String, Value)], out: &mut BytesMut) {
    for (key, value) in list {
        // A key longer than its length field is cut at a character's edge.
        let mut end = key.len().min(usize::from(u16::MAX));
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        out.put_u16(end as u16);
        out.put_slice(&key.as_bytes()[..end]);
        value.write(out);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

/// Reads all values of a message, as an RTMP command or a script tag holds them.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Malformed> {
    let mut reader = Reader { rest: bytes, values: 0 };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const XML: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    /// "What follows is AMF3"; publishers write AMF0 behind it all the same.
    pub(super) const AVM_PLUS: u8 = 0x11;
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn text(&mut self, len: usize) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn short_text(&mut self) -> Result<String, Malformed> {
        let len = u16::from_be_bytes(self.array()?);
        self.text(usize::from(len))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Malformed::TooMany);
        }
        let [kind] = self.array()?;
        match kind {
            marker::NUMBER => Ok(Value::Number(f64::from_be_bytes(self.array()?))),
            marker::BOOLEAN => Ok(Value::Boolean(self.array::<1>()? != [0])),
            marker::STRING => Ok(Value::String(self.short_text()?)),
            marker::LONG_STRING | marker::XML => {
                let len = u32::from_be_bytes(self.array()?);
                Ok(Value::String(self.text(len as usize)?))
            }
            marker::OBJECT => Ok(Value::Object(self.properties(depth)?)),
            marker::TYPED_OBJECT => {
                self.short_text()?;
                Ok(Value::Object(self.properties(depth)?))
            }
            marker::ECMA_ARRAY => {
                self.array::<4>()?;
                Ok(Value::Map(self.properties(depth)?))
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(list))
            }
            marker::DATE => {
                let millis = f64::from_be_bytes(self.array()?);
                self.array::<2>()?;
                Ok(Value::Date(millis))
            }
            marker::NULL | marker::UNSUPPORTED => Ok(Value::Null),
            marker::UNDEFINED => Ok(Value::Undefined),
            marker::AVM_PLUS => self.value(depth + 1),
            other => Err(Malformed::Marker(other)),
        }
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Malformed> {
        let mut list = Vec::new();
        loop {
            // Some encoders end their last map with the end of the message.
            if self.rest.is_empty() {
                return Ok(list);
            }
            let key = self.short_text()?;
            if key.is_empty() && self.rest.first() == Some(&marker::OBJECT_END) {
                self.array::<1>()?;
                return Ok(list);
            }
            list.push((key, self.value(depth + 1)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> BytesMut {
        let mut out = BytesMut::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn a_connect_command_reads_as_ffmpeg_writes_it() {
        // `connect`, transaction 1, {app: "live", tcUrl: "rtmp://h/live"}: bytes laid out by hand after
        // the specification, sections 2.2 to 2.5.
        let mut bytes = vec![2, 0, 7];
        bytes.extend(b"connect");
        bytes.extend([0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([3, 0, 3]);
        bytes.extend(b"app");
        bytes.extend([2, 0, 4]);
        bytes.extend(b"live");
        bytes.extend([0, 5]);
        bytes.extend(b"tcUrl");
        bytes.extend([2, 0, 13]);
        bytes.extend(b"rtmp://h/live");
        bytes.extend([0, 0, 9]);
        let values = read_all(&bytes).unwrap();
        assert_eq!(values[0].as_str(), Some("connect"));
        assert_eq!(values[1].as_number(), Some(1.0));
        assert_eq!(values[2].get("tcUrl").and_then(Value::as_str), Some("rtmp://h/live"));
        let again: Vec<u8> = values.iter().flat_map(|v| written(v).to_vec()).collect();
        assert_eq!(again, bytes);
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        let value = Value::Map(vec![
            ("width".into(), 1920.0.into()),
            ("stereo".into(), true.into()),
            ("tracks".into(), Value::Array(vec![Value::Null, Value::Undefined, Value::Date(1.5)])),
            ("long".into(), Value::String("x".repeat(70_000))),
            ("inner".into(), Value::object([("a", "b".into())])),
        ]);
        assert_eq!(read_all(&written(&value)), Ok(vec![value]));
    }

    #[test]
    fn every_truncation_is_an_error_or_less_and_never_a_panic() {
        let value =
            Value::object([("list", Value::Array(vec![1.0.into(), "text".into()])), ("b", true.into())]);
        let bytes = written(&value);
        // Without its end marker alone, three bytes, an object is whole: encoders leave it out.
        for end in 1..bytes.len() - 3 {
            assert_ne!(read_all(&bytes[..end]), Ok(vec![value.clone()]), "cut at {end}");
        }
    }

    #[test]
    fn nesting_without_end_and_counts_that_lie_are_refused() {
        // Objects that open objects: 03 0001 'a' 03 0001 'a' …
        let deep: Vec<u8> = [3, 0, 1, b'a'].repeat(10_000);
        assert_eq!(read_all(&deep), Err(Malformed::TooDeep));
        let avm: Vec<u8> = vec![0x11; 10_000];
        assert_eq!(read_all(&avm), Err(Malformed::TooDeep));
        // An array of four billion elements in five bytes.
        assert_eq!(read_all(&[0x0a, 0xff, 0xff, 0xff, 0xff]), Err(Malformed::Truncated));
        assert_eq!(read_all(&[5; 5_000]), Err(Malformed::TooMany));
        assert_eq!(read_all(&[0x0c, 0xff, 0xff, 0xff, 0xff, 1]), Err(Malformed::Truncated));
        assert_eq!(read_all(&[0x77]), Err(Malformed::Marker(0x77)));
    }
}
