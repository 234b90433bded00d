//! Products in Einstein's notation.

use tract_onnx::tract_hir::internal::{
    AxesMapping, Expansion, OutletId, SpecialOps, TVec, TractResult, TypedModel, bail, ensure,
};
use tract_onnx::tract_hir::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;

/// An equation in Einstein's notation: letters for axes, and `.` for those of an ellipsis.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) inputs: Vec<String>,
    output: String,
}

impl Terms {
    /// Nothing where letters are repeated in a term, or come out of nowhere.
    pub(crate) fn of(equation: &str) -> Option<Terms> {
        let equation = equation.replace(' ', "").replace("...", ".");
        let (inputs, output) = equation.split_once("->")?;
        let inputs: Vec<String> = inputs.split(',').map(str::to_owned).collect();
        let output = output.to_owned();
        let sound = |term: &String| {
            let mut seen = String::new();
            term.chars().all(|letter| {
                let new = !seen.contains(letter);
                seen.push(letter);
                new && (letter == '.' || letter.is_ascii_alphabetic())
            })
        };
        let from_input = |letter: char| inputs.iter().any(|term| term.contains(letter));
        let whole = inputs.iter().all(sound) && sound(&output) && output.chars().all(from_input);
        // The axes of an ellipsis are not summed up.
        let kept = output.contains('.') || !from_input('.');
        (whole && kept && (1..=2).contains(&inputs.len())).then_some(Terms { inputs, output })
    }
}

/// The product that the terms are of.
pub(crate) fn einsum(
    terms: &Terms,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let mut widths = Vec::new();
    for (term, input) in terms.inputs.iter().zip(inputs) {
        let rank = model.outlet_fact(*input)?.rank();
        let named = term.chars().filter(|letter| *letter != '.').count();
        ensure!(
            named == rank || named < rank && term.contains('.'),
            "`{term}` of {rank} axes"
        );
        widths.push(rank - named);
    }
    let most = widths.iter().copied().max().unwrap_or(0);
    ensure!(most <= 8, "an ellipsis of {most} axes");
    // Axes of an ellipsis are aligned by the last of them, as in broadcasting.
    let ellipsis = |width: usize| -> String {
        (most - width..most)
            .map(|axis| char::from(b'0' + axis as u8))
            .collect()
    };
    let mut expression = Vec::new();
    for (term, width) in terms.inputs.iter().zip(&widths) {
        expression.push(term.replace('.', &ellipsis(*width)));
    }
    let output = terms.output.replace('.', &ellipsis(most));
    for letter in expression.iter().flat_map(|term| term.chars()) {
        let mut length = None;
        for (term, input) in expression.iter().zip(inputs) {
            let Some(axis) = term.chars().position(|other| other == letter) else {
                continue;
            };
            let here = model.outlet_fact(*input)?.shape[axis].clone();
            match &length {
                Some(length) if *length != here => bail!("`{letter}` is {length} and {here}"),
                _ => length = Some(here),
            }
        }
    }
    if let ([term], true) = (&*expression, output.is_empty()) {
        // The runtime hands such a value on as it is.
        let axes = (0..term.len() as i64).collect();
        return Reduce::new(Some(axes), false, Reducer::Sum).wire(prefix, model, inputs);
    }
    // What is summed up in one value only is so beforehand: the runtime would look for the order of
    // such sums for ever.
    let all = expression.concat();
    let stays = |letter: char| output.contains(letter) || all.matches(letter).count() > 1;
    let mut summed = TVec::new();
    for (number, (term, input)) in expression.iter().zip(inputs).enumerate() {
        let letters = term.chars().enumerate();
        let alone = letters.filter(|(_, letter)| !stays(*letter));
        let axes: Vec<i64> = alone.map(|(axis, _)| axis as i64).collect();
        if axes.is_empty() {
            summed.push(*input);
            continue;
        }
        let name = format!("{prefix}.sum.{number}");
        summed.extend(Reduce::new(Some(axes), false, Reducer::Sum).wire(
            &name,
            model,
            &[*input],
        )?);
    }
    for term in &mut expression {
        term.retain(stays);
    }
    let axes: AxesMapping = format!("{}->{output}", expression.join(",")).parse()?;
    let operating_dt = model.outlet_fact(inputs[0])?.datum_type;
    let product = EinSum {
        axes,
        operating_dt,
        q_params: None,
    };
    model.wire_node(prefix, product, &summed)
}
