//! From names to slots: which field a name means where, and what it takes to evaluate it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::category::Categories;
use crate::document::Element;
use crate::program::{Program, Slot, Source};
use crate::schema::{self, DataField, Rule, Usage};
use crate::symbol::Symbols;
use crate::value::Value;
use crate::{DataType, Error, Input, OpType};

/// How deep expressions, predicates, models and derived fields may refer to one another: each
/// level is a call, when compiling and when scoring.
pub(crate) const MAX_NESTING: usize = 200;

/// The models of a document see each other's fields by nesting; a scope is one model's view.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    parent: Option<usize>,
    schema: HashMap<&'a str, Element<'a>>,
    targets: Vec<(&'a str, Element<'a>)>,
    derived: HashMap<&'a str, Element<'a>>,
    /// Output fields of this model and of the segments evaluated before.
    given: HashMap<&'a str, Slot>,
    resolved: HashMap<&'a str, Resolution>,
    /// Whether the schema leaves all values as they are, so that global derived fields can be
    /// shared with the enclosing model.
    transparent: bool,
}

#[derive(Clone, Copy, Debug)]
enum Resolution {
    InProgress,
    Done(Slot),
}

/// What is known about a slot while compiling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotInfo {
    pub(crate) data_type: Option<DataType>,
    pub(crate) depth: usize,
}

pub(crate) struct Compiler<'a> {
    pub(crate) symbols: Symbols,
    pub(crate) slots: Vec<SlotInfo>,
    pub(crate) sources: Vec<Source>,
    pub(crate) functions: Vec<crate::expression::UserFunction>,
    pub(crate) function_names: HashMap<&'a str, FunctionState>,
    pub(crate) function_elements: HashMap<&'a str, Element<'a>>,
    data: HashMap<&'a str, DataField<'a>>,
    global: HashMap<&'a str, Element<'a>>,
    scopes: Vec<Scope<'a>>,
    pub(crate) inputs: Vec<Input>,
    input_slots: Vec<Slot>,
    input_numbers: HashMap<&'a str, usize>,
    nesting: usize,
    pub(crate) category_lists: Vec<Categories>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FunctionState {
    InProgress,
    Done(usize, usize),
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(root: Element<'a>) -> Result<Self, Error> {
        let mut compiler = Self {
            symbols: Symbols::default(),
            slots: Vec::new(),
            sources: Vec::new(),
            functions: Vec::new(),
            function_names: HashMap::new(),
            function_elements: HashMap::new(),
            data: HashMap::new(),
            global: HashMap::new(),
            scopes: Vec::new(),
            inputs: Vec::new(),
            input_slots: Vec::new(),
            input_numbers: HashMap::new(),
            nesting: 0,
            category_lists: Vec::new(),
        };
        for element in root.required_child("DataDictionary")?.all("DataField") {
            let field = DataField::read(element)?;
            if compiler.data.insert(field.name, field).is_some() {
                return Err(element.invalid(format!("a second field `{}`", field.name)));
            }
        }
        if let Some(dictionary) = root.first("TransformationDictionary") {
            for element in dictionary.children() {
                match element.name() {
                    "DefineFunction" => {
                        let name = element.required("name")?;
                        if compiler.function_elements.insert(name, element).is_some() {
                            return Err(element.invalid(format!("a second function `{name}`")));
                        }
                    }
                    "DerivedField" => {
                        let name = element.required("name")?;
                        if compiler.global.insert(name, element).is_some() {
                            return Err(element.invalid(format!("a second field `{name}`")));
                        }
                    }
                    _ => return Err(element.refused()),
                }
            }
        }
        Ok(compiler)
    }

    pub(crate) fn finish(self) -> (Program, Vec<Input>) {
        let program = Program {
            sources: self.sources,
            functions: self.functions,
            symbols: Arc::new(self.symbols),
            inputs: self.input_slots,
            width: self.inputs.len(),
            categories: self.category_lists,
        };
        (program, self.inputs)
    }

    /// Counts a level of nesting for the time of `work`.
    pub(crate) fn nested<T>(
        &mut self,
        element: Element<'a>,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.nesting >= MAX_NESTING {
            return Err(self.too_deep(element));
        }
        self.nesting += 1;
        let result = work(self);
        self.nesting -= 1;
        result
    }

    pub(crate) fn too_deep(&self, element: Element<'a>) -> Error {
        let place = element.place();
        Error::Limit {
            what: "fields or expressions refer to one another too deep",
            limit: MAX_NESTING,
            place,
        }
    }

    /// Opens the scope of a model.
    pub(crate) fn open(
        &mut self,
        model: Element<'a>,
        parent: Option<usize>,
    ) -> Result<usize, Error> {
        let mut scope = Scope {
            parent,
            transparent: true,
            ..Scope::default()
        };
        for field in model.required_child("MiningSchema")?.all("MiningField") {
            let name = field.required("name")?;
            match schema::usage(field)? {
                Usage::Target => scope.targets.push((name, field)),
                Usage::Active => {
                    if let Some(data) = self.data.get(name) {
                        scope.transparent &= schema::is_transparent(field, Some(*data));
                    }
                }
            }
            if scope.schema.insert(name, field).is_some() {
                return Err(field.invalid(format!("a second mining field `{name}`")));
            }
        }
        if let Some(local) = model.first("LocalTransformations") {
            for field in local.children() {
                if field.name() != "DerivedField" {
                    return Err(field.refused());
                }
                let name = field.required("name")?;
                if scope.derived.insert(name, field).is_some() {
                    return Err(field.invalid(format!("a second field `{name}`")));
                }
            }
        }
        self.scopes.push(scope);
        Ok(self.scopes.len() - 1)
    }

    /// The target fields that a model's schema names.
    pub(crate) fn targets(&self, scope: usize) -> &[(&'a str, Element<'a>)] {
        &self.scopes[scope].targets
    }

    pub(crate) fn data_field(&self, name: &str) -> Option<DataField<'a>> {
        self.data.get(name).copied()
    }

    /// The element of a derived field that a model can see, for the networks whose outputs refer
    /// to one instead of being one.
    pub(crate) fn derived_element(&self, scope: usize, name: &str) -> Option<Element<'a>> {
        let scope = &self.scopes[scope];
        scope
            .derived
            .get(name)
            .or_else(|| self.global.get(name))
            .copied()
    }

    /// Makes a field that another evaluation sets.
    pub(crate) fn give(
        &mut self,
        scope: usize,
        name: &'a str,
        data_type: Option<DataType>,
        slot: Option<Slot>,
    ) -> Slot {
        let slot = slot.unwrap_or_else(|| {
            self.add(
                Source::Given,
                SlotInfo {
                    data_type,
                    depth: 1,
                },
            )
        });
        self.scopes[scope].given.insert(name, slot);
        slot
    }

    fn add(&mut self, source: Source, info: SlotInfo) -> Slot {
        self.sources.push(source);
        self.slots.push(info);
        Slot(self.slots.len() as u32 - 1)
    }

    pub(crate) fn info(&self, slot: Slot) -> SlotInfo {
        self.slots[slot.0 as usize]
    }

    /// The slot of a field that a model refers to at `element`.
    pub(crate) fn resolve(
        &mut self,
        scope: usize,
        name: &'a str,
        element: Element<'a>,
    ) -> Result<Slot, Error> {
        if let Some(&slot) = self.scopes[scope].given.get(name) {
            return Ok(slot);
        }
        match self.scopes[scope].resolved.get(name) {
            Some(Resolution::Done(slot)) => return Ok(*slot),
            Some(Resolution::InProgress) => {
                return Err(element.invalid(format!("field `{name}` depends on itself")));
            }
            None => {}
        }
        self.scopes[scope]
            .resolved
            .insert(name, Resolution::InProgress);
        let slot = self.nested(element, |this| this.find(scope, name, element))?;
        self.scopes[scope]
            .resolved
            .insert(name, Resolution::Done(slot));
        Ok(slot)
    }

    fn find(&mut self, scope: usize, name: &'a str, element: Element<'a>) -> Result<Slot, Error> {
        let parent = self.scopes[scope].parent;
        if let Some(&field) = self.scopes[scope].schema.get(name) {
            let data = self.data.get(name).copied();
            return match (data, parent) {
                (Some(data), None) => self.input(name, data, field),
                (_, Some(parent)) => {
                    if data.is_none() && !self.is_derived_above(parent, name) {
                        return Err(element.unknown_field(name));
                    }
                    let slot = self.resolve(parent, name, field)?;
                    self.inherit(slot, field, data)
                }
                (None, None) => Err(field.unknown_field(name)),
            };
        }
        if let Some(&field) = self.scopes[scope].derived.get(name) {
            return self.derive(scope, field);
        }
        if let Some(&field) = self.global.get(name) {
            return match parent {
                Some(parent) if self.scopes[scope].transparent => {
                    self.resolve(parent, name, element)
                }
                _ => self.derive(scope, field),
            };
        }
        Err(element.unknown_field(name))
    }

    /// Whether an enclosing model derives a field or was given one by a segment.
    fn is_derived_above(&self, from: usize, name: &str) -> bool {
        let mut scope = Some(from);
        while let Some(number) = scope {
            let here = &self.scopes[number];
            if here.given.contains_key(name) || here.derived.contains_key(name) {
                return true;
            }
            scope = here.parent;
        }
        self.global.contains_key(name)
    }

    fn input(
        &mut self,
        name: &'a str,
        data: DataField<'a>,
        field: Element<'a>,
    ) -> Result<Slot, Error> {
        let (data_type, op_type) = (data.data_type()?, data.op_type()?);
        let rule = Rule::read(field, Some(data), None, &mut self.symbols)?;
        let op_type = OpType::of(field)?.unwrap_or(op_type);
        let input = self.inputs.len();
        self.input_numbers.insert(name, input);
        self.inputs.push(Input {
            name: name.to_owned(),
            data_type,
            op_type,
        });
        let info = SlotInfo {
            data_type: Some(data_type),
            depth: 1,
        };
        let slot = self.add(Source::Input { input, rule }, info);
        self.input_slots.push(slot);
        Ok(slot)
    }

    fn inherit(
        &mut self,
        slot: Slot,
        field: Element<'a>,
        data: Option<DataField<'a>>,
    ) -> Result<Slot, Error> {
        if schema::is_transparent(field, data) {
            return Ok(slot);
        }
        let above = self.info(slot);
        let rule = Rule::read(field, data, above.data_type, &mut self.symbols)?;
        let info = SlotInfo {
            depth: self.deeper(above.depth, field)?,
            ..above
        };
        Ok(self.add(Source::Inherited { slot, rule }, info))
    }

    fn derive(&mut self, scope: usize, field: Element<'a>) -> Result<Slot, Error> {
        let data_type = DataType::of(field)?;
        field.required("dataType")?;
        for child in field.children() {
            if !crate::expression_reader::is_expression(child) && child.name() != "Value" {
                return Err(child.refused());
            }
        }
        let compiled = self.expression_in(field, scope)?;
        let info = SlotInfo {
            data_type,
            depth: self.deeper(compiled.depth, field)?,
        };
        Ok(self.add(
            Source::Derived {
                expression: compiled.expression,
                data_type,
            },
            info,
        ))
    }

    /// A level above `depth`.
    pub(crate) fn deeper(&self, depth: usize, element: Element<'a>) -> Result<usize, Error> {
        if depth >= MAX_NESTING {
            Err(self.too_deep(element))
        } else {
            Ok(depth + 1)
        }
    }

    /// A constant of the type of a field.
    pub(crate) fn literal(
        &mut self,
        element: Element<'a>,
        attribute: &'static str,
        data_type: Option<DataType>,
    ) -> Result<Value, Error> {
        let text = element.required(attribute)?;
        schema::literal(text, data_type, &mut self.symbols).ok_or_else(|| {
            let kind = data_type.map_or_else(String::new, |data_type| data_type.to_string());
            element.invalid(format!("`{attribute}` is `{text}`, which is no {kind}"))
        })
    }
}
