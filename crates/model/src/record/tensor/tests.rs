use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use protobufs::TensorRecord;

use super::*;

fn record(tensors: Vec<protobufs::Tensor>) -> Vec<u8> {
    let record = TensorRecord {
        data_type: "digits".to_owned(),
        ts: 1_700_000_000_123,
        tensors,
    };
    record.encode_to_vec()
}

fn tensor(name: &str, shape: &[i64], element: ElementType, data: &[u8]) -> protobufs::Tensor {
    protobufs::Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        r#type: element.into(),
        data: data.to_vec().into(),
    }
}

fn decode(bytes: &[u8]) -> Result<Record, Undecodable> {
    TensorDecoder::new().decode(bytes)
}

fn refusal(tensor: protobufs::Tensor) -> String {
    decode(&record(vec![tensor])).unwrap_err().to_string()
}

#[test]
fn tensors_have_the_names_shapes_and_elements_they_came_with() {
    let floats = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
    let record = decode(&record(vec![
        tensor("x", &[1, 2], ElementType::Float, &floats),
        tensor(
            "words",
            &[2],
            ElementType::String,
            b"\x02\0\0\0\xc3\xa9\0\0\0\0",
        ),
        tensor("none", &[0, 3], ElementType::Int64, b""),
        tensor("one", &[], ElementType::Bool, b"\x01"),
    ]));
    let record = record.unwrap();
    assert_eq!(&*record.data_type, "digits");
    assert_eq!(record.submitted_us, Some(1_700_000_000_123_000));
    let found: Vec<_> = record
        .tensors
        .iter()
        .map(|named| {
            let tensor = &named.tensor;
            (named.name.as_str(), tensor.shape.as_slice(), &tensor.data)
        })
        .collect();
    let words = Data::Text(vec!["é".to_owned(), String::new()]);
    assert_eq!(
        found,
        [
            ("x", &[1, 2][..], &Data::Float(vec![1.5, -2.0])),
            ("words", &[2][..], &words),
            ("none", &[0, 3][..], &Data::Int64(Vec::new())),
            ("one", &[][..], &Data::Bool(vec![true])),
        ]
    );
}

#[test]
fn a_tensor_that_is_not_what_it_says_is_named_with_what_is_wrong() {
    use ElementType::{Bool, Double, Float, String as Text, Unspecified};
    let huge = i64::MAX;
    for (shape, element, data, why) in [
        (
            &[2_i64][..],
            Float,
            &[0_u8; 7][..],
            "has 7 bytes of data, which is not what float [2] takes",
        ),
        (&[2], Double, &[0; 8], "has 8 bytes of data"),
        (&[], Float, &[], "has 0 bytes of data"),
        (&[-1], Float, &[], "has an axis of the length -1"),
        (&[huge, huge], Float, &[], "which is too large"),
        (&[0, 1 << 21], Float, &[], "which is too large"),
        (&[huge, 0, huge], Float, &[], "which is too large"),
        (
            &[huge],
            Double,
            &[],
            "which is not what double [9223372036854775807] takes",
        ),
        (&[1; 33], Float, &[0; 4], "has more than 32 axes"),
        (
            &[1],
            Unspecified,
            &[0; 4],
            "does not say the type of its elements",
        ),
        (&[2], Bool, &[1, 2], "has the truth value 2"),
        (
            &[1],
            Text,
            &[1, 0, 0, 0, 0xff],
            "has a string that is not UTF-8, at 0",
        ),
        (
            &[1],
            Text,
            &[2, 0, 0, 0, 0x61],
            "has a string that is cut off, at 0",
        ),
        (
            &[1],
            Text,
            &[0, 0, 0, 0, 0x61],
            "has 1 bytes after its last string",
        ),
        (&[huge], Text, &[0; 16], "which is not what string"),
    ] {
        let refusal = refusal(tensor("x", shape, element, data));
        assert!(
            refusal.starts_with("the tensor `x` ") && refusal.contains(why),
            "{refusal:?}, not {why:?}"
        );
    }
    let mut unknown = tensor("x", &[1], Float, &[0; 4]);
    unknown.r#type = 99;
    assert!(refusal(unknown).contains("the unknown type 99"));
    let long = refusal(tensor(&"n".repeat(1_000_000), &[2], Float, &[]));
    assert!(long.len() < 250, "{} characters", long.len());
}

#[test]
fn a_name_is_there_once_however_many_there_are() {
    let named = |n: usize| tensor(&n.to_string(), &[1], ElementType::Bool, &[0]);
    for count in [2, MANY - 1, MANY, 1_000] {
        let mut tensors: Vec<_> = (0..count).map(named).collect();
        assert_eq!(
            decode(&record(tensors.clone())).unwrap().tensors.len(),
            count
        );
        tensors[count - 1].name = "0".to_owned();
        let refusal = decode(&record(tensors)).unwrap_err().to_string();
        assert_eq!(refusal, "the tensor `0` is there twice");
    }
    let many = (0..=MOST_TENSORS).map(named).collect();
    let refusal = decode(&record(many)).unwrap_err();
    assert!(matches!(refusal, Undecodable::TooManyTensors { .. }));
}

#[test]
fn nothing_of_a_record_is_left_for_the_next() {
    let mut decoder = TensorDecoder::new();
    let mut found = Record::default();
    let one = |element, data: &[u8]| record(vec![tensor("t", &[1], element, data)]);
    let two = record(vec![
        tensor("a", &[2], ElementType::String, b"\x01\0\0\0a\x01\0\0\0b"),
        tensor("b", &[1, 1, 1], ElementType::Float, &[0; 4]),
    ]);
    for (bytes, count) in [
        (two.clone(), 2),
        (one(ElementType::String, b"\0\0\0\0"), 1),
        (one(ElementType::Int32, &7_i32.to_le_bytes()), 1),
        (two, 2),
        (record(Vec::new()), 0),
    ] {
        decoder.decode_into(&bytes, &mut found).unwrap();
        assert_eq!(found, decode(&bytes).unwrap());
        assert_eq!(found.tensors.len(), count);
    }
    // A record that failed half-way must not shine through either.
    assert!(
        decoder
            .decode_into(&one(ElementType::Bool, &[2]), &mut found)
            .is_err()
    );
    let bytes = one(ElementType::Bool, &[1]);
    decoder.decode_into(&bytes, &mut found).unwrap();
    assert_eq!(found, decode(&bytes).unwrap());
}

#[test]
fn what_is_no_record_is_told_apart() {
    assert!(matches!(decode(b""), Err(Undecodable::NoDataType)));
    let whole = record(vec![tensor("x", &[1], ElementType::Float, &[0; 4])]);
    assert!(decode(&whole).is_ok());
    for length in 1..whole.len() {
        // Cut between two fields it is a shorter message.
        if TensorRecord::decode(&whole[..length]).is_err() {
            let refusal = decode(&whole[..length]).unwrap_err();
            assert!(
                matches!(refusal, Undecodable::Malformed { .. }),
                "{refusal}"
            );
        }
    }
    for bytes in [
        &b"\x0a\x01\xff"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0b",
        b"\x0c",
        b"\x0f",
        b"\x00\x00",
        b"\x08\x01",
        b"\x1d\0\0\0\0",
    ] {
        let refusal = decode(bytes).unwrap_err();
        assert!(
            matches!(refusal, Undecodable::Malformed { .. }),
            "{bytes:?}: {refusal}"
        );
    }
    let mut groups = vec![0x33; 200_000];
    groups.push(0x34);
    assert!(decode(&groups).is_err());
}

#[test]
fn large_tensors_are_given_back_and_small_ones_kept() {
    let mut small = decode(&record(vec![tensor(
        "x",
        &[784],
        ElementType::Float,
        &[0; 3136],
    )]))
    .unwrap();
    assert!(small.trim() >= 3136 && small.tensors.len() == 1);
    let mut large = decode(&record(vec![tensor(
        "x",
        &[1_000_000],
        ElementType::Bool,
        &[0; 1_000_000],
    )]))
    .unwrap();
    assert_eq!((large.trim(), large.tensors.capacity()), (0, 0));
    let mut texts = decode(&record(vec![tensor(
        "x",
        &[10_000],
        ElementType::String,
        &[0; 40_000],
    )]))
    .unwrap();
    assert_eq!((texts.trim(), texts.tensors.capacity()), (0, 0));
}

fn any_data() -> impl Strategy<Value = (Data, usize)> {
    prop_oneof![
        vec(any::<u32>().prop_map(f32::from_bits), 0..40).prop_map(Data::Float),
        vec(any::<u64>().prop_map(f64::from_bits), 0..40).prop_map(Data::Double),
        vec(any::<i32>(), 0..40).prop_map(Data::Int32),
        vec(any::<i64>(), 0..40).prop_map(Data::Int64),
        vec(any::<bool>(), 0..40).prop_map(Data::Bool),
        vec(".*", 0..10).prop_map(Data::Text),
    ]
    .prop_map(|data| {
        let length = data.len();
        (data, length)
    })
}

/// Bits, so that NaN equals itself.
fn bits(record: &Record) -> String {
    let tensors = record.tensors.iter();
    let sent: Vec<_> = tensors.map(|t| message(&t.name, &t.tensor)).collect();
    format!("{} {:?} {sent:?}", record.data_type, record.submitted_us)
}

proptest! {
    #[test]
    fn what_is_encoded_comes_out_again(
        tensors in vec((any_data(), 0..3_usize), 0..20),
        data_type in ".+",
        ts in any::<i64>(),
    ) {
        let named = |(n, ((data, length), ones)): (usize, ((Data, usize), usize))| {
            let mut shape = vec![1; ones];
            shape.push(length);
            NamedTensor { name: format!("tensor {n}"), tensor: Tensor { shape, data } }
        };
        let wanted = Record {
            data_type: data_type.as_str().into(),
            submitted_us: (ts > 0).then(|| ts.saturating_mul(1000)),
            tensors: tensors.into_iter().enumerate().map(named).collect(),
            ..Record::default()
        };
        let messages: Vec<_> = wanted.tensors.iter().map(|t| message(&t.name, &t.tensor)).collect();
        for sent in &messages {
            prop_assert!(NamedTensor::from_message(sent).is_ok());
        }
        let sent = TensorRecord { data_type, ts, tensors: messages };
        let found = decode(&sent.encode_to_vec()).unwrap();
        prop_assert_eq!(bits(&found), bits(&wanted));
    }

    /// Bytes that are almost a record: as prost reads them, or refused.
    #[test]
    fn altered_bytes_are_refused_or_mean_what_they_mean_to_others(
        shape in vec(-1..4_i64, 0..4),
        element in 0..8,
        data in vec(0..3_u8, 0..30),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in vec(any::<u8>(), 0..12),
    ) {
        let mut sent = tensor("x", &shape, ElementType::Float, &data);
        sent.r#type = element;
        let mut bytes = record(vec![sent]);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.extend(noise);
        if let Ok(found) = decode(&bytes) {
            let other = TensorRecord::decode(&bytes[..]).unwrap();
            prop_assert_eq!(&*found.data_type, other.data_type.as_str());
            let tensors = found.tensors.iter().map(|t| message(&t.name, &t.tensor));
            prop_assert_eq!(tensors.collect::<Vec<_>>(), other.tensors);
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        if decode(&bytes).is_ok() {
            prop_assert!(TensorRecord::decode(&bytes[..]).is_ok());
        }
    }
}
