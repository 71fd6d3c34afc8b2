//! How tables become bytes: column by column, each number as short as it is.
//!
//! Reading trusts nothing: it answers `None` for bytes that are no such table, and makes no room for more entries than
//! there are bytes.

use crate::format::varint::{read_varint, unzigzag, zigzag};

/// Bytes still to be read.
#[derive(Debug)]
pub(crate) struct Input<'b>(pub(crate) &'b [u8]);

impl Input<'_> {
    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn number(&mut self) -> Option<u64> {
        let (value, len) = match self.0.first() {
            // Most numbers.
            Some(&byte) if byte < 0x80 => (u64::from(byte), 1),
            _ => read_varint(self.0)?,
        };
        self.0 = self.0.get(len..)?;
        Some(value)
    }

    /// How many entries follow, each of at least one byte.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len())
    }

    fn bytes(&mut self) -> Option<&[u8]> {
        let len = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

fn put_number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One value.
pub(crate) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut Input<'_>) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_number(u64::from(*self), out);
            }

            fn take(input: &mut Input<'_>) -> Option<Self> {
                input.number()?.try_into().ok()
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64);

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        u8::take(input).map(|value| value != 0)
    }
}

impl Field for i32 {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(zigzag(i64::from(*self)), out);
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        unzigzag(input.number()?).try_into().ok()
    }
}

impl Field for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(self.len() as u64, out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        std::str::from_utf8(input.bytes()?).ok().map(str::to_owned)
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(self.len() as u64, out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        (0..input.count()?).map(|_| T::take(input)).collect()
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(u64::from(self.is_some()), out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        match input.number()? {
            0 => Some(None),
            1 => T::take(input).map(Some),
            _ => None,
        }
    }
}

/// Fields of a thing, one after the other; those with `[table]` are written as tables.
macro_rules! fields {
    (@put $field:ident, $out:ident) => {
        $field.put($out)
    };
    (@put $field:ident, $out:ident, table) => {
        $crate::capture::columns::put_table($field, $out)
    };
    (@take $input:ident) => {
        Field::take($input)?
    };
    (@take $input:ident, table) => {
        $crate::capture::columns::take_table($input)?
    };
    ($type:ty: $($field:ident $([$how:ident])?),* $(,)?) => {
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $(fields!(@put $field, out $(, $how)?);)*
            }

            fn take(input: &mut Input<'_>) -> Option<Self> {
                Some(Self { $($field: fields!(@take input $(, $how)?)),* })
            }
        }
    };
}
pub(crate) use fields;

/// Things that have numbers.
macro_rules! coded {
    ($type:ty: $($name:path = $code:literal),* $(,)?) => {
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $($name => $code),* });
            }

            fn take(input: &mut Input<'_>) -> Option<Self> {
                match u8::take(input)? {
                    $($code => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use coded;

/// How a column is written.
pub(crate) trait Column<T> {
    fn put(&mut self, value: &T, out: &mut Vec<u8>);
    fn take(&mut self, input: &mut Input<'_>) -> Option<T>;
}

/// Each value as it is.
#[derive(Debug, Default)]
pub(crate) struct Plain;

impl<T: Field> Column<T> for Plain {
    fn put(&mut self, value: &T, out: &mut Vec<u8>) {
        value.put(out);
    }

    fn take(&mut self, input: &mut Input<'_>) -> Option<T> {
        T::take(input)
    }
}

/// Each number as the difference to the one before.
#[derive(Debug, Default)]
pub(crate) struct Step(u64);

impl<T: Copy + Into<u64> + TryFrom<u64>> Column<T> for Step {
    fn put(&mut self, value: &T, out: &mut Vec<u8>) {
        let value = (*value).into();
        put_number(zigzag(value.wrapping_sub(self.0) as i64), out);
        self.0 = value;
    }

    fn take(&mut self, input: &mut Input<'_>) -> Option<T> {
        self.0 = self.0.wrapping_add(unzigzag(input.number()?) as u64);
        T::try_from(self.0).ok()
    }
}

/// A table's entries, column by column.
pub(crate) trait Columns: Default + Clone {
    /// How many there are; each takes at least a byte per entry.
    const COUNT: usize;
    fn put_columns(entries: &[Self], out: &mut Vec<u8>);
    fn take_columns(entries: &mut [Self], input: &mut Input<'_>) -> Option<()>;
}

/// The columns of a table's entries and how each is written.
macro_rules! columns {
    ($type:ty: $($how:ident $field:ident $(. $inner:ident)?),* $(,)?) => {
        impl Columns for $type {
            const COUNT: usize = [$(stringify!($field)),*].len();

            fn put_columns(entries: &[Self], out: &mut Vec<u8>) {
                $(
                    let mut column = $how::default();
                    entries.iter().for_each(|entry| column.put(&entry.$field $(.$inner)?, out));
                )*
            }

            fn take_columns(entries: &mut [Self], input: &mut Input<'_>) -> Option<()> {
                $(
                    let mut column = $how::default();
                    for entry in entries.iter_mut() {
                        entry.$field $(.$inner)? = column.take(input)?;
                    }
                )*
                Some(())
            }
        }
    };
}
pub(crate) use columns;

/// Writes a table.
pub(crate) fn put_table<T: Columns>(entries: &[T], out: &mut Vec<u8>) {
    put_number(entries.len() as u64, out);
    T::put_columns(entries, out);
}

/// Reads a table.
pub(crate) fn take_table<T: Columns>(input: &mut Input<'_>) -> Option<Vec<T>> {
    let count = input.count().filter(|count| *count <= input.0.len() / T::COUNT)?;
    let mut entries = vec![T::default(); count];
    T::take_columns(&mut entries, input)?;
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Entry {
        name: String,
        at: u64,
        small: Option<u16>,
    }

    columns!(Entry: Plain name, Step at, Plain small);

    #[test]
    fn tables_come_back_and_cut_ones_do_not() {
        let entry = |name: &str, at, small| Entry { name: name.into(), at, small };
        let entries = [entry("", u64::MAX, None), entry("two", 0, Some(u16::MAX)), entry("drei", 300, Some(0))];
        let mut bytes = Vec::new();
        put_table(&entries, &mut bytes);
        let mut input = Input(&bytes);
        assert_eq!(take_table(&mut input).as_deref(), Some(&entries[..]));
        assert!(input.is_empty());
        for len in 0..bytes.len() {
            assert_eq!(take_table::<Entry>(&mut Input(&bytes[..len])), None, "{len}");
        }
    }

    #[test]
    fn what_is_no_table_is_none() {
        // More entries than bytes; a number too large for its column; a name that is no text.
        for bytes in [&[0xff, 0xff, 0xff, 0x0f][..], &[1, 0, 2, 1, 0x80, 0x80, 0x04], &[1, 1, 0xff, 0, 0]] {
            assert_eq!(take_table::<Entry>(&mut Input(bytes)), None);
        }
        assert_eq!(Vec::<u64>::take(&mut Input(&[200, 1, 0, 0])), None);
    }
}
