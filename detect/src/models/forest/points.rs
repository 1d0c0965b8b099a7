//! The points of a forest, stored once for all its trees.

use super::super::ModelError;
use super::super::codec::{Reader, Writer};

/// Points by place, each held as long as a tree refers to it. Trees sample the same stream, so many
/// of their points are the same.
#[derive(Debug, Clone)]
pub(super) struct Points {
    dims: usize,
    values: Vec<f32>,
    /// References to each place; 0 is free.
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl Points {
    /// Bytes a place costs beside its values.
    pub(super) const OVERHEAD: usize = 2 * size_of::<u32>();

    pub(super) fn new(dims: usize) -> Self {
        Points {
            dims,
            values: Vec::new(),
            holders: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        (self.values.len() + self.holders.len() + self.free.len()) * size_of::<u32>()
    }

    pub(super) fn at(&self, place: u32) -> &[f32] {
        let start = place as usize * self.dims;
        &self.values[start..start + self.dims]
    }

    /// Stores a point, held once.
    pub(super) fn add(&mut self, point: &[f32]) -> u32 {
        if let Some(place) = self.free.pop() {
            let start = place as usize * self.dims;
            self.values[start..start + self.dims].copy_from_slice(point);
            self.holders[place as usize] = 1;
            return place;
        }
        self.values.extend_from_slice(point);
        self.holders.push(1);
        (self.holders.len() - 1) as u32
    }

    pub(super) fn hold(&mut self, place: u32) {
        self.holders[place as usize] += 1;
    }

    pub(super) fn release(&mut self, place: u32) {
        let holders = &mut self.holders[place as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(place);
        }
    }

    /// Whether the place exists.
    pub(super) fn has(&self, place: u32) -> bool {
        (place as usize) < self.holders.len()
    }

    pub(super) fn dims(&self) -> usize {
        self.dims
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.size(self.holders.len());
        self.holders.iter().for_each(|h| out.u32(*h));
        self.values.iter().for_each(|v| out.f32(*v));
        // The order of free places decides where the next points go.
        out.size(self.free.len());
        self.free.iter().for_each(|f| out.u32(*f));
    }

    pub(super) fn restore(from: &mut Reader, dims: usize) -> Result<Self, ModelError> {
        let places = from.count(dims.saturating_add(1).saturating_mul(4))?;
        let holders = (0..places).map(|_| from.u32()).collect::<Result<_, _>>()?;
        let values = (0..places * dims)
            .map(|_| from.f32())
            .collect::<Result<_, _>>()?;
        let free = (0..from.count(4)?)
            .map(|_| from.u32())
            .collect::<Result<Vec<_>, _>>()?;
        if free.iter().any(|f| *f as usize >= places) {
            return Err(ModelError::Malformed("a free place that does not exist"));
        }
        Ok(Points {
            dims,
            values,
            holders,
            free,
        })
    }
}
