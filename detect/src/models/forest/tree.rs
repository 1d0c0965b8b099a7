//! One random cut tree: points enter and leave, and its shape stays distributed as if it had been
//! cut anew from the points that are left (theorems 4 and 5 of the paper).

use super::super::ModelError;
use super::super::codec::{Reader, Writer};
use super::super::random::Random;
use super::points::Points;
use super::{Share, usual_depth};

/// No place, no node.
const NONE: u32 = u32::MAX;

/// A leaf or an inner node, told apart by the top bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link(u32);

const LEAF: u32 = 1 << 31;

impl Link {
    fn leaf(place: u32) -> Self {
        Link(place | LEAF)
    }

    fn as_leaf(self) -> Option<u32> {
        (self.0 & LEAF != 0).then_some(self.0 & !LEAF)
    }
}

/// A cut: points with a value up to `at` in dimension `dim` are on the left.
#[derive(Debug, Clone)]
struct Cut {
    dim: u32,
    at: f32,
    left: Link,
    right: Link,
    /// Points below.
    mass: u32,
}

impl Cut {
    fn side(&self, point: &[f32]) -> Link {
        if point[self.dim as usize] <= self.at {
            self.left
        } else {
            self.right
        }
    }
}

/// A tree over points that are stored elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    dims: usize,
    root: Option<Link>,
    cuts: Vec<Cut>,
    /// Bounding boxes of the cuts: `dims` lower ends, then `dims` upper ends.
    boxes: Vec<f32>,
    free: Vec<u32>,
    /// Places of leaves that stand for several equal points, with their number.
    copies: Vec<(u32, u32)>,
}

impl Tree {
    pub(super) fn new(dims: usize) -> Self {
        Tree {
            dims,
            root: None,
            cuts: Vec::new(),
            boxes: Vec::new(),
            free: Vec::new(),
            copies: Vec::new(),
        }
    }

    pub(super) fn max_bytes(dims: usize, sample: usize) -> usize {
        sample * (size_of::<Cut>() + 2 * dims * size_of::<f32>() + 3 * size_of::<u32>())
    }

    pub(super) fn bytes(&self) -> usize {
        self.cuts.len() * size_of::<Cut>()
            + (self.boxes.len() + self.free.len() + 2 * self.copies.len()) * size_of::<u32>()
    }

    fn bounds(&self, cut: u32) -> (&[f32], &[f32]) {
        let start = cut as usize * 2 * self.dims;
        self.boxes[start..start + 2 * self.dims].split_at(self.dims)
    }

    fn bounds_of<'a>(&'a self, points: &'a Points, link: Link) -> (&'a [f32], &'a [f32]) {
        match link.as_leaf() {
            Some(place) => (points.at(place), points.at(place)),
            None => self.bounds(link.0),
        }
    }

    fn mass(&self, link: Link) -> u32 {
        match link.as_leaf() {
            Some(place) => self.copies_of(place),
            None => self.cuts[link.0 as usize].mass,
        }
    }

    fn copies_of(&self, place: u32) -> u32 {
        let found = self.copies.iter().find(|(p, _)| *p == place);
        found.map_or(1, |(_, copies)| *copies)
    }

    /// Puts the stored point in; gives the place that now stands for it, which is that of an equal
    /// point if there is one.
    pub(super) fn insert(&mut self, points: &mut Points, place: u32, random: &mut Random) -> u32 {
        let Some(root) = self.root else {
            points.hold(place);
            self.root = Some(Link::leaf(place));
            return place;
        };
        let point = points.at(place).to_vec();
        let (mut at, mut above, mut path) = (root, NONE, Vec::new());
        loop {
            if let Some(equal) = at.as_leaf().filter(|p| points.at(*p) == point) {
                self.count_up(equal);
                path.iter().for_each(|c| self.cuts[*c as usize].mass += 1);
                points.hold(equal);
                return equal;
            }
            let bounds = self.bounds_of(points, at);
            let mut cut = cut_off(bounds, &point, random);
            if at.as_leaf().is_some() {
                cut = cut.or_else(|| first_difference(bounds.0, &point));
            }
            if let Some((dim, value)) = cut {
                points.hold(place);
                self.split(points, at, above, (dim, value), place);
                path.iter().for_each(|c| self.cuts[*c as usize].mass += 1);
                return place;
            }
            // The box grows around the point on the way down; a leaf is always cut off.
            self.grow(at.0, &point);
            path.push(at.0);
            above = at.0;
            at = self.cuts[at.0 as usize].side(&point);
        }
    }

    /// Replaces `at`, a child of `above`, by a cut between it and the point.
    fn split(&mut self, points: &Points, at: Link, above: u32, cut: (u32, f32), place: u32) {
        let (dim, value) = cut;
        let point = points.at(place);
        let leaf = Link::leaf(place);
        let (left, right) = if point[dim as usize] <= value {
            (leaf, at)
        } else {
            (at, leaf)
        };
        let (low, high) = self.bounds_of(points, at);
        let ends: Vec<f32> = (low.iter().zip(point).map(|(a, b)| a.min(*b)))
            .chain(high.iter().zip(point).map(|(a, b)| a.max(*b)))
            .collect();
        let new = Cut {
            dim,
            at: value,
            left,
            right,
            mass: self.mass(at) + 1,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.cuts[number as usize] = new;
                let start = number as usize * 2 * self.dims;
                self.boxes[start..start + 2 * self.dims].copy_from_slice(&ends);
                number
            }
            None => {
                self.cuts.push(new);
                self.boxes.extend_from_slice(&ends);
                (self.cuts.len() - 1) as u32
            }
        };
        self.relink(above, at, Link(number));
    }

    /// Puts `new` where `old` hangs below `above`.
    fn relink(&mut self, above: u32, old: Link, new: Link) {
        if above == NONE {
            self.root = Some(new);
            return;
        }
        let cut = &mut self.cuts[above as usize];
        if cut.left == old {
            cut.left = new;
        } else {
            cut.right = new;
        }
    }

    fn grow(&mut self, cut: u32, point: &[f32]) {
        let start = cut as usize * 2 * self.dims;
        let (low, high) = self.boxes[start..start + 2 * self.dims].split_at_mut(self.dims);
        for ((low, high), value) in low.iter_mut().zip(high).zip(point) {
            *low = low.min(*value);
            *high = high.max(*value);
        }
    }

    fn count_up(&mut self, place: u32) {
        match self.copies.iter_mut().find(|(p, _)| *p == place) {
            Some((_, copies)) => *copies += 1,
            None => self.copies.push((place, 2)),
        }
    }

    /// Takes out one point that is stored at `place`.
    pub(super) fn remove(&mut self, points: &mut Points, place: u32) {
        let point = points.at(place).to_vec();
        let mut path = Vec::new();
        let Some(mut at) = self.root else { return };
        while at.as_leaf().is_none() {
            path.push(at.0);
            at = self.cuts[at.0 as usize].side(&point);
        }
        points.release(place);
        for cut in &path {
            self.cuts[*cut as usize].mass -= 1;
        }
        if let Some(copy) = self.copies.iter().position(|(p, _)| *p == place) {
            self.copies[copy].1 -= 1;
            if self.copies[copy].1 == 1 {
                self.copies.swap_remove(copy);
            }
            return;
        }
        let Some(parent) = path.pop() else {
            self.root = None;
            return;
        };
        let cut = &self.cuts[parent as usize];
        let sibling = if cut.left == at { cut.right } else { cut.left };
        let above = path.last().copied().unwrap_or(NONE);
        self.relink(above, Link(parent), sibling);
        self.free.push(parent);
        for cut in path.into_iter().rev() {
            if !self.shrink(points, cut, &point) {
                break;
            }
        }
    }

    /// Makes the box as small as its children allow; false if the point did not lie on its edge.
    fn shrink(&mut self, points: &Points, cut: u32, point: &[f32]) -> bool {
        let (low, high) = self.bounds(cut);
        let ends = low.iter().zip(high).zip(point);
        if ends
            .into_iter()
            .all(|((low, high), value)| low < value && value < high)
        {
            return false;
        }
        let Cut { left, right, .. } = self.cuts[cut as usize];
        let (left, right) = (self.bounds_of(points, left), self.bounds_of(points, right));
        let ends: Vec<f32> = (left.0.iter().zip(right.0).map(|(a, b)| a.min(*b)))
            .chain(left.1.iter().zip(right.1).map(|(a, b)| a.max(*b)))
            .collect();
        let start = cut as usize * 2 * self.dims;
        self.boxes[start..start + 2 * self.dims].copy_from_slice(&ends);
        true
    }

    /// The leaf that the point's way from the root ends in, and what `pass` sees on the way.
    fn walk(&self, point: &[f32], mut pass: impl FnMut(u32)) -> Option<u32> {
        let mut at = self.root?;
        loop {
            match at.as_leaf() {
                Some(place) => return Some(place),
                None => {
                    pass(at.0);
                    at = self.cuts[at.0 as usize].side(point);
                }
            }
        }
    }

    /// Whether the place is a leaf of this tree, reached by its own point.
    pub(super) fn holds(&self, points: &Points, place: u32) -> bool {
        points.has(place) && self.walk(points.at(place), |_| {}) == Some(place)
    }

    fn total(&self) -> f64 {
        self.root.map_or(0.0, |root| f64::from(self.mass(root)))
    }

    /// At what depth the point is expected to be cut off, with the number of points in the tree.
    pub(super) fn depth(&self, points: &Points, point: &[f32]) -> Option<(f64, f64)> {
        // Chance that no cut from the root to here has parted the point from the box.
        let (mut expected, mut left, mut depth) = (0.0, 1.0, 0.0);
        let leaf = self.walk(point, |cut| {
            let apart = left * chance_apart(self.bounds(cut), point);
            expected += apart * depth;
            left -= apart;
            depth += 1.0;
        })?;
        if points.at(leaf) == point {
            // Equals were not cut apart; the more there are, the deeper the point would have gone.
            depth += usual_depth(1.0 + f64::from(self.copies_of(leaf)));
        }
        Some((expected + left * depth, self.total()))
    }

    /// Adds what each number of the point contributes to the score.
    pub(super) fn attribute(&self, points: &Points, point: &[f32], shares: &mut [Share]) {
        let (mut left, mut depth) = (1.0, 0);
        let leaf = self.walk(point, |cut| {
            left -= share_out(self.bounds(cut), point, left, cut_here(depth), shares);
            depth += 1;
        });
        let Some(leaf) = leaf else { return };
        let place = points.at(leaf);
        if place != point {
            share_out((place, place), point, left, cut_here(depth), shares);
            return;
        }
        // A point that was seen before has no side; what is left goes to all dimensions alike.
        let rest = left * cut_here(depth + 1) / (2 * self.dims) as f64;
        for share in shares {
            share.above += rest;
            share.below += rest;
        }
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.u32(self.root.map_or(NONE, |r| r.0));
        out.size(self.cuts.len());
        for cut in &self.cuts {
            out.u32(cut.dim);
            out.f32(cut.at);
            out.u32(cut.left.0);
            out.u32(cut.right.0);
            out.u32(cut.mass);
        }
        self.boxes.iter().for_each(|b| out.f32(*b));
        out.size(self.free.len());
        self.free.iter().for_each(|f| out.u32(*f));
        out.size(self.copies.len());
        for (place, copies) in &self.copies {
            out.u32(*place);
            out.u32(*copies);
        }
    }

    pub(super) fn restore(from: &mut Reader, points: &Points) -> Result<Self, ModelError> {
        let dims = points.dims();
        let root = Some(from.u32()?).filter(|r| *r != NONE).map(Link);
        let count = from.count(20 + 8 * dims)?;
        let mut cuts = Vec::with_capacity(count);
        for _ in 0..count {
            cuts.push(Cut {
                dim: from.u32()?,
                at: from.f32()?,
                left: Link(from.u32()?),
                right: Link(from.u32()?),
                mass: from.u32()?,
            });
        }
        let boxes = (0..2 * dims * count)
            .map(|_| from.f32())
            .collect::<Result<_, _>>()?;
        let free = (0..from.count(4)?)
            .map(|_| from.u32())
            .collect::<Result<_, _>>()?;
        let mut copies = Vec::new();
        for _ in 0..from.count(8)? {
            copies.push((from.u32()?, from.u32()?));
        }
        let tree = Tree {
            dims,
            root,
            cuts,
            boxes,
            free,
            copies,
        };
        tree.check(points)?;
        Ok(tree)
    }

    /// Every link leads to something, and no way is a circle.
    fn check(&self, points: &Points) -> Result<(), ModelError> {
        let mut open: Vec<Link> = self.root.into_iter().collect();
        let mut visited = 0;
        while let Some(link) = open.pop() {
            let known = match link.as_leaf() {
                Some(place) => points.has(place),
                None => match self.cuts.get(link.0 as usize) {
                    Some(cut) => {
                        open.extend([cut.left, cut.right]);
                        (cut.dim as usize) < self.dims
                    }
                    None => false,
                },
            };
            visited += 1;
            if !known || visited > 2 * self.cuts.len() + 1 {
                return Err(ModelError::Malformed("a tree with a loose end"));
            }
        }
        if self.free.iter().any(|f| *f as usize >= self.cuts.len()) {
            return Err(ModelError::Malformed("a free cut that does not exist"));
        }
        Ok(())
    }
}

/// Draws a cut of the box grown by the point; gives it if it parts the point from the box.
fn cut_off(bounds: (&[f32], &[f32]), point: &[f32], random: &mut Random) -> Option<(u32, f32)> {
    let (low, high) = bounds;
    let ends = || low.iter().zip(high).zip(point);
    let range = |((low, high), value): ((&f32, &f32), &f32)| {
        f64::from(high.max(*value)) - f64::from(low.min(*value))
    };
    let mut left = random.unit() * ends().map(range).sum::<f64>();
    let mut last = None;
    for (dim, ((low, high), value)) in ends().enumerate() {
        let (from, to) = (f64::from(low.min(*value)), f64::from(high.max(*value)));
        if to <= from {
            continue;
        }
        let at = (from + left.min(to - from)) as f32;
        last = if value < low && at < *low {
            // Rounding must not put the cut on the point's other side.
            Some((dim as u32, at.max(*value)))
        } else if value > high && at >= *high {
            Some((dim as u32, if at < *value { at } else { *high }))
        } else {
            None
        };
        if left < to - from {
            return last;
        }
        left -= to - from;
    }
    last
}

/// A cut between two points that differ by so little that rounding lost the drawn one.
fn first_difference(one: &[f32], other: &[f32]) -> Option<(u32, f32)> {
    let mut pairs = one.iter().zip(other).enumerate();
    let (dim, (a, b)) = pairs.find(|(_, (a, b))| a != b)?;
    Some((dim as u32, a.min(*b)))
}

/// Chance that the next cut of the box grown by the point parts the two.
fn chance_apart(bounds: (&[f32], &[f32]), point: &[f32]) -> f64 {
    let (mut outside, mut all) = (0.0, 0.0);
    for ((low, high), value) in bounds.0.iter().zip(bounds.1).zip(point) {
        all += f64::from(high.max(*value)) - f64::from(low.min(*value));
        outside += f64::from((low - value).max(value - high).max(0.0));
    }
    if all > 0.0 {
        (outside / all).min(1.0)
    } else {
        0.0
    }
}

/// Gives each dimension its part of `worth`, by the chance that a cut in it parts the point from
/// the box; gives that chance, all of it times `left`.
fn share_out(
    bounds: (&[f32], &[f32]),
    point: &[f32],
    left: f64,
    worth: f64,
    shares: &mut [Share],
) -> f64 {
    let ends = || bounds.0.iter().zip(bounds.1).zip(point);
    let all: f64 = ends()
        .map(|((low, high), value)| f64::from(high.max(*value)) - f64::from(low.min(*value)))
        .sum();
    if all <= 0.0 {
        return 0.0;
    }
    let mut apart = 0.0;
    for (share, ((low, high), value)) in shares.iter_mut().zip(ends()) {
        let below = f64::from((low - value).max(0.0)) / all * left;
        let above = f64::from((value - high).max(0.0)) / all * left;
        share.below += below * worth;
        share.above += above * worth;
        apart += below + above;
    }
    apart
}

/// What being cut off at this depth weighs: the paper's displacement falls with the depth.
fn cut_here(depth: usize) -> f64 {
    1.0 / (depth as f64 + 1.0)
}
