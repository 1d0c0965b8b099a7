//! Models as bytes: fixed-width little-endian numbers, floats as their bits, a name and a version
//! in front. Text would cost digits, and a restored model must give the same scores.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ModelError;

/// Collects the bytes of a model.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins with the model's name and the version of its layout.
    pub fn begin(name: &str, version: u32) -> Self {
        let mut out = Writer::default();
        out.bytes(name.as_bytes());
        out.u32(version);
        out
    }

    /// All bytes so far.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// A flag.
    pub fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// 64 bits.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A length or an index.
    pub fn size(&mut self, value: usize) {
        self.u64(value as u64);
    }

    /// A float, bit by bit.
    pub fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// A short float, bit by bit.
    pub fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.size(value.len());
        self.0.extend_from_slice(value);
    }

    /// Text with its length.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Floats with their number.
    pub fn f64s<'a>(&mut self, values: impl ExactSizeIterator<Item = &'a f64>) {
        self.size(values.len());
        values.for_each(|v| self.f64(*v));
    }
}

/// Reads what [`Writer`] wrote. Lengths are checked against what is left before room is made for
/// them, so that damaged bytes cannot ask for more memory than they are long.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks name and version.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if these are not the bytes of such a model.
    pub fn begin(bytes: &'a [u8], name: &str, version: u32) -> Result<Self, ModelError> {
        let mut from = Reader(bytes);
        if from.bytes()? != name.as_bytes() || from.u32()? != version {
            return Err(ModelError::Malformed("another model or version"));
        }
        Ok(from)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if something is.
    pub fn end(&self) -> Result<(), ModelError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ModelError::Malformed("bytes after the end"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ModelError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ModelError::Malformed("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| ModelError::Malformed("too short"))
    }

    /// A flag.
    pub fn bool(&mut self) -> Result<bool, ModelError> {
        Ok(self.array::<1>()? != [0])
    }

    /// 32 bits.
    pub fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    /// 64 bits.
    pub fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number as it was written by [`Writer::size`].
    pub fn size(&mut self) -> Result<usize, ModelError> {
        usize::try_from(self.u64()?).map_err(|_| ModelError::Malformed("a size out of range"))
    }

    /// The number of items that follow, each at least `width` bytes long.
    pub fn count(&mut self, width: usize) -> Result<usize, ModelError> {
        let count = self.size()?;
        if count > self.0.len() / width.max(1) {
            return Err(ModelError::Malformed("a length beyond the end"));
        }
        Ok(count)
    }

    /// A float.
    pub fn f64(&mut self) -> Result<f64, ModelError> {
        self.u64().map(f64::from_bits)
    }

    /// A short float.
    pub fn f32(&mut self) -> Result<f32, ModelError> {
        self.u32().map(f32::from_bits)
    }

    /// Bytes with their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], ModelError> {
        let length = self.size()?;
        self.take(length)
    }

    /// Text with its length.
    pub fn text(&mut self) -> Result<&'a str, ModelError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ModelError::Malformed("not text"))
    }

    /// Floats with their number.
    pub fn f64s(&mut self) -> Result<Vec<f64>, ModelError> {
        (0..self.count(8)?).map(|_| self.f64()).collect()
    }
}

/// A model that is written into a larger state as one text.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T>(pub(crate) T);

/// What [`Kept`] needs of a model.
pub(crate) trait Model: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    fn of_bytes(bytes: &[u8]) -> Result<Self, ModelError>;
}

impl<T: Model> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.0.to_bytes();
        let mut text = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            text.extend(
                [byte >> 4, byte & 15].map(|half| char::from(b"0123456789abcdef"[half as usize])),
            );
        }
        serializer.serialize_str(&text)
    }
}

impl<'de, T: Model> Deserialize<'de> for Kept<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let half = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
        let bytes: Option<Vec<u8>> = (text.as_bytes().chunks(2))
            .map(|pair| match pair {
                [high, low] => Some(half(*high)? << 4 | half(*low)?),
                _ => None,
            })
            .collect();
        let bytes = bytes.ok_or_else(|| D::Error::custom("a model that is not hexadecimal"))?;
        T::of_bytes(&bytes).map(Kept).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::begin("test", 3);
        out.bool(true);
        out.f64(-0.0);
        out.f32(f32::MIN_POSITIVE);
        out.text("ä");
        out.f64s([1.0, f64::NAN].iter());
        let bytes = out.finish();
        let mut from = Reader::begin(&bytes, "test", 3).unwrap();
        assert!(from.bool().unwrap());
        assert_eq!(from.f64().unwrap().to_bits(), (-0.0f64).to_bits());
        assert_eq!(from.f32().unwrap(), f32::MIN_POSITIVE);
        assert_eq!(from.text().unwrap(), "ä");
        assert!(from.f64s().unwrap()[1].is_nan());
        from.end().unwrap();
        assert!(Reader::begin(&bytes, "test", 4).is_err());
        assert!(Reader::begin(&bytes, "other", 3).is_err());
    }

    #[test]
    fn a_length_cannot_ask_for_more_than_there_is() {
        let mut out = Writer::default();
        out.u64(u64::MAX);
        let bytes = out.finish();
        assert!(Reader(&bytes).f64s().is_err());
        assert!(Reader(&bytes).bytes().is_err());
    }
}
