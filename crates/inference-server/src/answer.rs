//! The answers over HTTP, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protobufs::tensorflow::tensor_info::Encoding;
use protobufs::tensorflow::{DataType, SignatureDef, TensorInfo, TensorProto, TensorShapeProto};
use std::collections::BTreeMap;
use tensor::{Data, Tensor};

use crate::catalogue::Standing;
use crate::decimal;
use crate::failure::Failure;
use crate::rows::Format;
use crate::writer::Writer;

/// Spaces for each level, of predictions.
const WIDE: usize = 4;
/// The same, of what TensorFlow Serving makes of messages.
const NARROW: usize = 1;

/// The JSON of an error.
pub(crate) fn error(message: &str) -> String {
    let mut text = "{ \"error\": ".to_owned();
    crate::json::write_text(&mut text, message);
    text.push_str(" }");
    text
}

/// The answer to `:predict`.
pub(crate) fn predictions(outputs: &[(&str, &Tensor)], format: Format) -> Result<String, Failure> {
    let mut outputs: Vec<_> = outputs
        .iter()
        .map(|(name, tensor)| Cursor::new(name, tensor))
        .collect();
    outputs.sort_by_key(|output| output.name);
    match format {
        Format::Row => by_row(&mut outputs),
        Format::Column => Ok(by_column(&mut outputs)),
    }
}

fn by_row(outputs: &mut [Cursor<'_>]) -> Result<String, Failure> {
    let mut rows = 0;
    for Cursor { name, tensor, .. } in outputs.iter() {
        let Some(&found) = tensor.shape.first() else {
            return Err(Failure::invalid(format!(
                "Tensor name: {name} has no shape information "
            )));
        };
        if found < 1 {
            return Err(Failure::invalid(format!(
                "Tensor name: {name} has invalid batch size: {found}"
            )));
        }
        if rows != 0 && rows != found {
            return Err(Failure::invalid(format!(
                "Tensor name: {name} has inconsistent batch size: {found} expecting: {rows}"
            )));
        }
        rows = found;
    }
    let mut writer = Writer::new(WIDE);
    writer.object(|writer| {
        writer.member("predictions", |writer| {
            writer.array(|writer| {
                for _ in 0..rows {
                    if let [output] = outputs {
                        writer.set_flat(true);
                        output.write(writer, 1);
                    } else {
                        writer.object(|writer| {
                            writer.set_flat(true);
                            for output in outputs.iter_mut() {
                                writer.member(output.name, |writer| output.write(writer, 1));
                            }
                            writer.set_flat(false);
                        });
                    }
                    writer.set_flat(false);
                }
            });
        });
    });
    Ok(writer.finish())
}

fn by_column(outputs: &mut [Cursor<'_>]) -> String {
    let mut writer = Writer::new(WIDE);
    writer.object(|writer| {
        writer.member("outputs", |writer| {
            if let [output] = outputs {
                output.write(writer, 0);
            } else {
                writer.object(|writer| {
                    for output in outputs.iter_mut() {
                        writer.member(output.name, |writer| output.write(writer, 0));
                    }
                });
            }
        });
    });
    writer.finish()
}

/// A tensor that is written piece by piece.
struct Cursor<'t> {
    name: &'t str,
    tensor: &'t Tensor,
    /// Elements that have been written.
    written: usize,
}

impl<'t> Cursor<'t> {
    fn new(name: &'t str, tensor: &'t Tensor) -> Self {
        Self {
            name,
            tensor,
            written: 0,
        }
    }

    /// Writes what is next, as lists for the axes from `axis` on.
    fn write(&mut self, writer: &mut Writer, axis: usize) {
        let Some(&length) = self.tensor.shape.get(axis) else {
            return self.element(writer);
        };
        writer.array(|writer| {
            for _ in 0..length {
                self.write(writer, axis + 1);
            }
        });
    }

    fn element(&mut self, writer: &mut Writer) {
        let at = self.written;
        self.written += 1;
        match &self.tensor.data {
            Data::Float(values) => writer.float(values[at]),
            Data::Double(values) => writer.double(values[at]),
            Data::Int32(values) => writer.integer(values[at].into()),
            Data::Int64(values) => writer.integer(values[at]),
            Data::Bool(values) => writer.bool(values[at]),
            Data::Text(values) if self.name.ends_with("_bytes") => writer.object(|writer| {
                writer.member("b64", |writer| writer.text(&STANDARD.encode(&values[at])));
            }),
            Data::Text(values) => writer.text(&values[at]),
        }
    }
}

/// The answer to `:classify`: for each example, labels with their scores.
pub(crate) fn classifications(examples: &[Vec<(String, f32)>]) -> String {
    results(|writer| {
        writer.array(|writer| {
            for classes in examples {
                writer.set_flat(true);
                writer.array(|writer| {
                    for (label, score) in classes {
                        writer.array(|writer| {
                            writer.text(label);
                            writer.float(*score);
                        });
                    }
                });
                writer.set_flat(false);
            }
        });
    })
}

/// The answer to `:regress`: for each example, a number.
pub(crate) fn regressions(values: &[f32]) -> String {
    results(|writer| {
        writer.set_flat(true);
        writer.array(|writer| {
            for value in values {
                writer.float(*value);
            }
        });
    })
}

fn results(content: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new(WIDE);
    writer.object(|writer| writer.member("results", content));
    writer.finish()
}

/// How the versions of a model stand.
pub(crate) fn statuses(versions: &[(i64, Standing)]) -> String {
    let mut writer = Writer::new(NARROW);
    writer.object(|writer| {
        writer.member("model_version_status", |writer| {
            writer.array(|writer| {
                for (version, standing) in versions {
                    writer.object(|writer| status(writer, *version, standing));
                }
            });
        });
    });
    lines(writer)
}

fn status(writer: &mut Writer, version: i64, standing: &Standing) {
    let error = standing.error.as_ref();
    writer.member("version", |writer| writer.text(&version.to_string()));
    writer.member("state", |writer| writer.text(standing.state.as_str_name()));
    writer.member("status", |writer| {
        writer.object(|writer| {
            let code = error.map_or("OK", |error| error.code.name());
            let message = error.map_or("", |error| &error.message);
            writer.member("error_code", |writer| writer.text(code));
            writer.member("error_message", |writer| writer.text(message));
        });
    });
}

/// What a version takes and gives.
pub(crate) fn metadata(
    name: &str,
    version: i64,
    signatures: &BTreeMap<String, SignatureDef>,
) -> String {
    let mut spec = Writer::new(NARROW);
    spec.object(|writer| {
        writer.member("name", |writer| writer.text(name));
        writer.member("signature_name", |writer| writer.text(""));
        writer.member("version", |writer| writer.text(&version.to_string()));
    });
    let mut map = Writer::new(NARROW);
    map.object(|writer| {
        writer.member("signature_def", |writer| {
            writer.object(|writer| {
                for (name, definition) in signatures {
                    writer.member(name, |writer| signature(writer, definition));
                }
            });
        });
    });
    format!(
        "{{\n\"model_spec\":{},\n\"metadata\": {{\"signature_def\": {}}}\n}}\n",
        lines(spec),
        lines(map)
    )
}

fn lines(writer: Writer) -> String {
    let mut text = writer.finish();
    text.push('\n');
    text
}

fn signature(writer: &mut Writer, definition: &SignatureDef) {
    writer.object(|writer| {
        for (side, ports) in [
            ("inputs", &definition.inputs),
            ("outputs", &definition.outputs),
        ] {
            writer.member(side, |writer| {
                writer.object(|writer| {
                    for (name, info) in ports {
                        writer.member(name, |writer| port(writer, info));
                    }
                });
            });
        }
        writer.member("method_name", |writer| writer.text(&definition.method_name));
        writer.member("defaults", |writer| {
            writer.object(|writer| {
                for (name, value) in &definition.defaults {
                    writer.member(name, |writer| constant(writer, value));
                }
            });
        });
    });
}

fn port(writer: &mut Writer, info: &TensorInfo) {
    let shape_of = info.tensor_shape.clone().unwrap_or_default();
    let data_type = DataType::try_from(info.dtype).unwrap_or_default();
    writer.object(|writer| {
        writer.member("dtype", |writer| writer.text(data_type.as_str_name()));
        writer.member("tensor_shape", |writer| shape(writer, &shape_of));
        if let Some(Encoding::Name(name)) = &info.encoding {
            writer.member("name", |writer| writer.text(name));
        }
    });
}

fn shape(writer: &mut Writer, shape: &TensorShapeProto) {
    writer.object(|writer| {
        writer.member("dim", |writer| {
            writer.array(|writer| {
                for dim in &shape.dim {
                    writer.object(|writer| {
                        writer.member("size", |w| w.text(&dim.size.to_string()));
                        writer.member("name", |w| w.text(&dim.name));
                    });
                }
            });
        });
        writer.member("unknown_rank", |writer| writer.bool(shape.unknown_rank));
    });
}

/// A tensor's message with all its fields, as protobuf writes it: bytes in base64, and integers of 64
/// bits, as strings.
fn constant(writer: &mut Writer, value: &TensorProto) {
    let data_type = DataType::try_from(value.dtype).unwrap_or_default();
    writer.object(|writer| {
        writer.member("dtype", |writer| writer.text(data_type.as_str_name()));
        if let Some(shape_of) = &value.tensor_shape {
            writer.member("tensor_shape", |writer| shape(writer, shape_of));
        }
        writer.member("version_number", |writer| {
            writer.integer(value.version_number.into());
        });
        writer.member("tensor_content", |writer| {
            writer.text(&STANDARD.encode(&value.tensor_content));
        });
        none(writer, &["half_val"]);
        list(writer, "float_val", &value.float_val, |writer, value| {
            let mut text = String::new();
            decimal::write_float(&mut text, *value);
            number(writer, &text);
        });
        list(writer, "double_val", &value.double_val, |writer, value| {
            let mut text = String::new();
            decimal::write_double(&mut text, *value);
            number(writer, &text);
        });
        list(writer, "int_val", &value.int_val, |writer, value| {
            writer.integer((*value).into());
        });
        list(writer, "string_val", &value.string_val, |writer, value| {
            writer.text(&STANDARD.encode(value));
        });
        none(writer, &["scomplex_val"]);
        list(writer, "int64_val", &value.int64_val, |writer, value| {
            writer.text(&value.to_string());
        });
        list(writer, "bool_val", &value.bool_val, |writer, value| {
            writer.bool(*value);
        });
        none(writer, &OTHERS);
        writer.member("float8_val", |writer| writer.text(""));
    });
}

/// Fields of a tensor's message, in its order, whose types are not supported.
const OTHERS: [&str; 5] = [
    "dcomplex_val",
    "resource_handle_val",
    "variant_val",
    "uint32_val",
    "uint64_val",
];

fn none(writer: &mut Writer, names: &[&str]) {
    for name in names {
        list(writer, name, &[], |_, ()| {});
    }
}

fn list<T>(writer: &mut Writer, name: &str, values: &[T], write: impl Fn(&mut Writer, &T)) {
    writer.member(name, |writer| {
        writer.array(|writer| {
            for value in values {
                write(writer, value);
            }
        });
    });
}

/// A number as protobuf writes it: with a point only where something follows, and as a string where
/// JSON has no such number.
fn number(writer: &mut Writer, text: &str) {
    if text.ends_with(|last: char| last.is_ascii_digit()) {
        writer.plain(text.strip_suffix(".0").unwrap_or(text));
    } else {
        writer.text(text);
    }
}
