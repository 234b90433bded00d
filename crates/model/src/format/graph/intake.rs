use tensor::{Element, Port};

/// What an input of a graph takes of each record.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    pub(super) name: String,
    pub(super) element: Element,
    /// Whether the input's first axis is the batch, so that it takes several records at once.
    pub(super) batch: bool,
    /// The other axes; all of them where none is the batch.
    axes: Vec<Option<usize>>,
    /// Their lengths, where all are known.
    known: Option<Vec<usize>>,
}

impl Intake {
    fn of(port: &Port) -> Self {
        let batch = port.shape.first() == Some(&None);
        let axes = port.shape[usize::from(batch)..].to_vec();
        Self {
            name: port.name.clone(),
            element: port.element,
            batch,
            known: axes.iter().copied().collect(),
            axes,
        }
    }

    /// Of each of these inputs, in order.
    pub(super) fn of_all(ports: &[Port]) -> Vec<Self> {
        ports.iter().map(Self::of).collect()
    }

    /// Whether a tensor of this shape is a record's part, and as which shape it is fed.
    ///
    /// It may have the axes of the input without the batch; or with it, if that is 1; and where the
    /// graph says how long all axes are, axes of length 1 may be there or not, and all the others
    /// may be one. The elements are in the same order each time.
    pub(super) fn takes(&self, shape: &[usize], fed: &mut Vec<usize>) -> bool {
        if let Some(known) = &self.known {
            let takes =
                known == shape || is_same_but_for_ones(known, shape) || is_flat(known, shape);
            if takes && fed != known {
                fed.clone_from(known);
            }
            return takes;
        }
        fed.clear();
        if agree(&self.axes, shape) {
            fed.extend_from_slice(shape);
        } else if let Some((1, shape)) = shape.split_first()
            && agree(&self.axes, shape)
        {
            fed.extend_from_slice(shape);
        } else if let Some((Some(1), axes)) = self.axes.split_first()
            && agree(axes, shape)
        {
            fed.push(1);
            fed.extend_from_slice(shape);
        } else {
            return false;
        }
        true
    }

    /// What it takes of a record, for messages: `float [28, 28, 1]`.
    pub(super) fn describe(&self) -> String {
        let length = |axis: &Option<usize>| axis.map_or("?".to_owned(), |n| n.to_string());
        let lengths: Vec<_> = self.axes.iter().map(length).collect();
        format!("{} [{}]", self.element, lengths.join(", "))
    }
}

fn agree(axes: &[Option<usize>], shape: &[usize]) -> bool {
    let agrees = |(axis, length): (&Option<usize>, &usize)| axis.is_none_or(|axis| axis == *length);
    axes.len() == shape.len() && axes.iter().zip(shape).all(agrees)
}

fn is_same_but_for_ones(known: &[usize], shape: &[usize]) -> bool {
    let long = |length: &&usize| **length != 1;
    known.iter().filter(long).eq(shape.iter().filter(long))
}

/// Whether the shape has one axis, beside those of length 1, for all elements.
fn is_flat(known: &[usize], shape: &[usize]) -> bool {
    let mut long = shape.iter().filter(|length| **length != 1);
    let length = long.next().copied().unwrap_or(1);
    let volume = known
        .iter()
        .try_fold(1_usize, |volume, &n| volume.checked_mul(n));
    long.next().is_none() && volume == Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(port: &[Option<usize>], shape: &[usize]) -> Option<Vec<usize>> {
        let port = Port {
            name: "x".to_owned(),
            shape: port.to_vec(),
            element: Element::Float,
        };
        let mut fed = vec![99];
        Intake::of(&port).takes(shape, &mut fed).then_some(fed)
    }

    #[test]
    fn a_part_may_be_flat_and_have_axes_of_length_one_or_not() {
        let image = [None, Some(28), Some(28), Some(1)];
        for shape in [
            &[28, 28, 1][..],
            &[1, 28, 28, 1],
            &[28, 28],
            &[1, 28, 28],
            &[784],
            &[1, 784],
        ] {
            assert_eq!(fed(&image, shape), Some(vec![28, 28, 1]), "{shape:?}");
        }
        for shape in [
            &[][..],
            &[783],
            &[2, 28, 28, 1],
            &[28, 784],
            &[14, 56],
            &[56, 14, 1],
            &[0],
        ] {
            assert_eq!(fed(&image, shape), None, "{shape:?}");
        }
        for shape in [&[][..], &[1], &[1, 1]] {
            assert_eq!(fed(&[None], shape), Some(vec![]), "{shape:?}");
            assert_eq!(fed(&[None, Some(1)], shape), Some(vec![1]), "{shape:?}");
        }
        assert_eq!(fed(&[None], &[2]), None);
    }

    #[test]
    fn open_axes_take_any_length_where_the_number_of_axes_says_which() {
        let text = [None, None];
        assert_eq!(fed(&text, &[7]), Some(vec![7]));
        assert_eq!(fed(&text, &[1, 7]), Some(vec![7]));
        assert_eq!(fed(&text, &[2, 7]), None);
        assert_eq!(fed(&text, &[]), None);
        let image = [None, None, None, Some(3)];
        assert_eq!(fed(&image, &[1, 7, 3]), Some(vec![1, 7, 3]));
        assert_eq!(fed(&image, &[1, 5, 7, 3]), Some(vec![5, 7, 3]));
        assert_eq!(fed(&image, &[5, 7, 1]), None);
    }

    #[test]
    fn an_input_without_a_batch_is_fed_the_whole() {
        for shape in [&[11][..], &[1, 11]] {
            assert_eq!(fed(&[Some(11)], shape), Some(vec![11]));
            assert_eq!(fed(&[Some(1), Some(11)], shape), Some(vec![1, 11]));
        }
        assert_eq!(fed(&[Some(1), None], &[5]), Some(vec![1, 5]));
        assert_eq!(fed(&[Some(1), None], &[1, 5]), Some(vec![1, 5]));
        assert_eq!(fed(&[Some(2), Some(3)], &[6]), Some(vec![2, 3]));
        assert_eq!(fed(&[Some(2), Some(3)], &[3]), None);
        assert_eq!(fed(&[], &[1]), Some(vec![]));
    }
}
