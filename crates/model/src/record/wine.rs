use std::sync::Arc;

use prost::Message as _;
use protobufs::WineRecord;

use super::{DataTypes, Decoder, Field, FieldType, Record, Schema, Undecodable, Value};

/// Makes records from `WineRecord` messages: eleven numbers, named as in the .proto.
#[derive(Debug)]
pub struct WineDecoder {
    schema: Arc<Schema>,
    message: WineRecord,
    data_types: DataTypes,
}

impl WineDecoder {
    /// A decoder.
    #[must_use]
    pub fn new() -> Self {
        let names = [
            "fixed_acidity",
            "volatile_acidity",
            "citric_acid",
            "residual_sugar",
            "chlorides",
            "free_sulfur_dioxide",
            "total_sulfur_dioxide",
            "density",
            "pH",
            "sulphates",
            "alcohol",
        ];
        let fields = names.map(|name| Field {
            name,
            field_type: FieldType::Number,
        });
        Self {
            schema: Arc::new(Schema::new("wine", fields.into())),
            message: WineRecord::default(),
            data_types: DataTypes::default(),
        }
    }
}

impl Default for WineDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for WineDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode_into(&mut self, bytes: &[u8], record: &mut Record) -> Result<(), Undecodable> {
        let wine = &mut self.message;
        // Clearing keeps the memory of the data type, so that decoding the next one needs none.
        wine.clear();
        wine.merge(bytes).map_err(|error| Undecodable::Malformed {
            schema: "wine",
            reason: error.to_string(),
        })?;
        if wine.data_type.is_empty() {
            return Err(Undecodable::NoDataType);
        }
        let numbers = [
            wine.fixed_acidity,
            wine.volatile_acidity,
            wine.citric_acid,
            wine.residual_sugar,
            wine.chlorides,
            wine.free_sulfur_dioxide,
            wine.total_sulfur_dioxide,
            wine.density,
            wine.p_h,
            wine.sulphates,
            wine.alcohol,
        ];
        if *record.data_type != *wine.data_type {
            record.data_type = self.data_types.intern(&wine.data_type);
        }
        record.submitted_us = (wine.ts > 0).then(|| wine.ts.saturating_mul(1000));
        record.tensors.clear();
        record.values.clear();
        record.values.extend(numbers.map(Value::Number));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wine() -> WineRecord {
        WineRecord {
            fixed_acidity: 7.4,
            p_h: 3.51,
            alcohol: 9.4,
            data_type: "wine".to_owned(),
            ts: 1_700_000_000_123,
            ..WineRecord::default()
        }
    }

    #[test]
    fn the_fields_are_in_the_order_of_the_schema() {
        let mut decoder = WineDecoder::new();
        let record = decoder.decode(&wine().encode_to_vec()).unwrap();
        assert_eq!(&*record.data_type, "wine");
        assert_eq!(record.submitted_us, Some(1_700_000_000_123_000));
        let number = |name| record.values[decoder.schema().position(name).unwrap()].clone();
        assert_eq!(record.values.len(), decoder.schema().fields().len());
        assert_eq!(number("fixed_acidity"), Value::Number(7.4));
        assert_eq!(number("pH"), Value::Number(3.51));
        assert_eq!(number("alcohol"), Value::Number(9.4));
        assert_eq!(number("density"), Value::Number(0.0));
    }

    #[test]
    fn nothing_of_a_record_is_left_for_the_next() {
        let mut decoder = WineDecoder::new();
        decoder.decode(&wine().encode_to_vec()).unwrap();
        let next = WineRecord {
            data_type: "w".to_owned(),
            ..WineRecord::default()
        };
        let record = decoder.decode(&next.encode_to_vec()).unwrap();
        assert_eq!(&*record.data_type, "w");
        assert_eq!(record.submitted_us, None);
        assert!(
            record
                .values
                .iter()
                .all(|value| *value == Value::Number(0.0))
        );
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        let mut decoder = WineDecoder::new();
        assert!(matches!(decoder.decode(b""), Err(Undecodable::NoDataType)));
        assert!(matches!(
            decoder.decode(b"\xff\xff"),
            Err(Undecodable::Malformed { .. })
        ));
        // A half-read message must not shine through in the next one.
        assert!(decoder.decode(&wine().encode_to_vec()[..20]).is_err());
        let empty = WineRecord {
            ts: 5,
            ..WineRecord::default()
        };
        assert!(matches!(
            decoder.decode(&empty.encode_to_vec()),
            Err(Undecodable::NoDataType)
        ));
    }
}
