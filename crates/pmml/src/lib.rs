//! PMML 4.x documents as checked, compiled evaluators.
//!
//! [`Model::load`] reads a document and refuses, by name and place, what it cannot evaluate; what
//! it accepts is evaluated as the standard says, and where the standard is silent, as
//! JPMML-Evaluator 1.7 does. A [`Row`] holds the values of a record and all scratch space.
//!
//! ```
//! let document = br#"
//! <PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">
//!   <DataDictionary>
//!     <DataField name="alcohol" optype="continuous" dataType="double"/>
//!     <DataField name="quality" optype="categorical" dataType="integer"/>
//!   </DataDictionary>
//!   <TreeModel functionName="classification">
//!     <MiningSchema>
//!       <MiningField name="alcohol"/>
//!       <MiningField name="quality" usageType="target"/>
//!     </MiningSchema>
//!     <Node score="5">
//!       <True/>
//!       <Node score="5"><SimplePredicate field="alcohol" operator="lessOrEqual" value="10.5"/></Node>
//!       <Node score="7"><SimplePredicate field="alcohol" operator="greaterThan" value="10.5"/></Node>
//!     </Node>
//!   </TreeModel>
//! </PMML>"#;
//! let model = pmml::Model::load(document)?;
//! assert_eq!(model.inputs()[0].name, "alcohol");
//! let (mut row, mut prediction) = (model.row(), pmml::Prediction::default());
//! row.set_number(0, 12.0);
//! model.score(&mut row, &mut prediction)?;
//! assert_eq!(prediction.value, Some(7.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aggregate;
mod array;
mod category;
mod compile;
mod document;
mod ensemble_forest;
mod error;
mod expression;
mod expression_reader;
mod flat;
mod function;
mod general_regression;
mod link;
mod mining;
mod model;
mod neural_network;
mod outcome;
mod output;
mod predicate;
mod program;
mod regression;
mod schema;
mod symbol;
mod target;
mod tree;
mod unit;
mod value;
mod verification;

pub use error::{Error, Place, ScoreError};
pub use model::{Detail, Input, Model, OutputValue, Prediction, Row};
pub use value::{DataType, OpType};
