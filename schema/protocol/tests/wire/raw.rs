//! Frames no writer of ours would make.

use flatbuffers::{FlatBufferBuilder, WIPOffset};

pub(crate) type Builder = FlatBufferBuilder<'static>;

/// A field of a table, by its number in `messages.fbs`.
pub(crate) enum Field<'a> {
    Byte(u8),
    Short(u16),
    Word(u64),
    Instance([u8; 16]),
    Text(&'a str),
    Words(&'a [u64]),
    /// This many references to one and the same `Metric`, whose name has so many bytes.
    SameMetric {
        times: usize,
        name_size_bytes: usize,
    },
    /// A table of its own.
    Table(&'a [(u16, Field<'a>)]),
}

/// The FlatBuffer of a table with these fields, padded.
pub(crate) fn meta(fields: &[(u16, Field<'_>)]) -> Vec<u8> {
    let mut builder = Builder::new();
    let root = table(&mut builder, fields);
    builder.finish_minimal(WIPOffset::<()>::new(root));
    let mut meta = builder.finished_data().to_vec();
    meta.resize(meta.len().next_multiple_of(8), 0);
    meta
}

/// A frame around any bytes; the header is honest about their sizes.
pub(crate) fn frame(kind: u8, flags: u8, meta: &[u8], task_and_padding: &[u8]) -> Vec<u8> {
    let length = 4 + meta.len() + task_and_padding.len();
    let mut frame = (length as u32).to_le_bytes().to_vec();
    frame.extend([kind, flags]);
    frame.extend(((meta.len() / 8) as u16).to_le_bytes());
    frame.extend(meta);
    frame.extend(task_and_padding);
    frame
}

enum Slot {
    Byte(u8),
    Short(u16),
    Word(u64),
    Struct(Struct),
    Offset(u32),
}

fn table(builder: &mut Builder, fields: &[(u16, Field<'_>)]) -> u32 {
    let slots: Vec<_> = fields.iter().map(|(number, field)| (4 + 2 * number, slot(builder, field))).collect();
    let start = builder.start_table();
    for (at, slot) in slots {
        match slot {
            Slot::Byte(byte) => builder.push_slot_always(at, byte),
            Slot::Short(short) => builder.push_slot_always(at, short),
            Slot::Struct(bytes) => builder.push_slot_always(at, bytes),
            Slot::Word(word) => builder.push_slot_always(at, word),
            Slot::Offset(offset) => builder.push_slot_always(at, WIPOffset::<()>::new(offset)),
        }
    }
    builder.end_table(start).value()
}

fn slot(builder: &mut Builder, field: &Field<'_>) -> Slot {
    match field {
        Field::Byte(byte) => Slot::Byte(*byte),
        Field::Short(short) => Slot::Short(*short),
        Field::Word(word) => Slot::Word(*word),
        Field::Instance(bytes) => Slot::Struct(Struct(*bytes)),
        Field::Text(text) => Slot::Offset(builder.create_string(text).value()),
        Field::Words(words) => Slot::Offset(builder.create_vector(words).value()),
        Field::SameMetric { times, name_size_bytes } => {
            let metric = table(builder, &[(0, Field::Text(&"x".repeat(*name_size_bytes)))]);
            Slot::Offset(builder.create_vector(&vec![WIPOffset::<()>::new(metric); *times]).value())
        }
        Field::Table(fields) => Slot::Offset(table(builder, fields)),
    }
}

/// A FlatBuffers struct of two 64 bit numbers.
#[derive(Clone, Copy)]
struct Struct([u8; 16]);

impl flatbuffers::Push for Struct {
    type Output = u64;

    #[allow(unsafe_code)] // the trait's signature; nothing here is unsafe
    unsafe fn push(&self, target: &mut [u8], _written: usize) {
        target.copy_from_slice(&self.0);
    }

    fn size() -> usize {
        16
    }
}
