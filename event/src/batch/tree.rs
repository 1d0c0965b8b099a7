//! The tree of all paths seen, kept from one batch to the next: what comes is mostly what came.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::column;

/// Nodes, and bytes of their paths, beyond which a tree is begun anew with the next batch.
const KEPT_NODES: usize = 16_384;
const KEPT_BYTES: usize = 4 << 20;
/// Kinds of columns that a path can have.
const KINDS: usize = 7;

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(u32);

impl NodeId {
    /// The event itself.
    pub(super) const ROOT: NodeId = NodeId(0);
}

/// A path, and the columns that it has in the batch that is being built.
#[derive(Debug)]
pub(super) struct Node {
    /// As [`Column::path`](super::Column::path).
    pub(super) path: Arc<str>,
    /// As [`Column::name`](super::Column::name).
    pub(super) name: Arc<str>,
    parent: NodeId,
    key: Box<str>,
    /// What came first below this node the last time, and what came after it.
    first: Option<NodeId>,
    next: Option<NodeId>,
    /// The batch in which the rest was set.
    batch: u64,
    /// Columns by kind, as indices into the columns of the batch.
    pub(super) columns: [Option<u32>; KINDS],
    pub(super) inner: Option<u32>,
    /// The row in which this node was last entered, plus one.
    pub(super) entered: usize,
}

/// Every path, under its keys. Hashing is randomly seeded: keys come from outside.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    by_key: HashTable<u32>,
    hasher: RandomState,
    batch: u64,
    path_bytes: usize,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Node::new("".into(), "".into(), NodeId::ROOT, "");
        Tree {
            nodes: vec![root],
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            batch: 0,
            path_bytes: 0,
        }
    }

    /// Begins another batch: no path has columns any more.
    pub(super) fn begin(&mut self) {
        if self.nodes.len() > KEPT_NODES || self.path_bytes > KEPT_BYTES {
            *self = Tree::new();
        }
        self.batch += 1;
        if let Some(root) = self.nodes.first_mut() {
            root.revive(self.batch);
        }
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node.0 as usize)
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(node.0 as usize)
    }

    /// The child of `parent` at `key`, which comes after the sibling `before`; `None` when it is
    /// new to the batch and there is no `room` for new ones. What follows what is remembered:
    /// most events repeat it.
    pub(super) fn child(
        &mut self,
        parent: NodeId,
        key: &str,
        before: Option<NodeId>,
        room: bool,
    ) -> Option<NodeId> {
        let guess = match before {
            Some(before) => self.get(before)?.next,
            None => self.get(parent)?.first,
        };
        let guessed = guess.filter(|id| self.is_at(*id, parent, key));
        let known = guessed.or_else(|| self.find(parent, key));
        let id = match known {
            Some(id) => {
                let batch = self.batch;
                let node = self.get_mut(id)?;
                if node.batch != batch {
                    if !room {
                        return None;
                    }
                    node.revive(batch);
                }
                id
            }
            None if room => self.add(parent, key)?,
            None => return None,
        };
        if guessed.is_none() {
            match before {
                Some(before) => self.get_mut(before)?.next = Some(id),
                None => self.get_mut(parent)?.first = Some(id),
            }
        }
        Some(id)
    }

    fn is_at(&self, id: NodeId, parent: NodeId, key: &str) -> bool {
        let node = self.get(id);
        node.is_some_and(|node| node.parent == parent && *node.key == *key)
    }

    fn find(&self, parent: NodeId, key: &str) -> Option<NodeId> {
        let hash = self.hasher.hash_one((parent, key));
        let found = self
            .by_key
            .find(hash, |id| self.is_at(NodeId(*id), parent, key));
        found.map(|id| NodeId(*id))
    }

    fn add(&mut self, parent: NodeId, key: &str) -> Option<NodeId> {
        let above = self.get(parent)?;
        let mut path = String::with_capacity(above.path.len() + key.len() + 1);
        if parent != NodeId::ROOT {
            path.push_str(&above.path);
            path.push('.');
        }
        column::escape(key, &mut path);
        let (path, name) = column::names(&path);
        let number = u32::try_from(self.nodes.len()).ok()?;
        let mut node = Node::new(path, name, parent, key);
        node.batch = self.batch;
        self.path_bytes += 2 * node.path.len() + node.key.len();
        self.nodes.push(node);
        let Tree {
            nodes,
            by_key,
            hasher,
            ..
        } = self;
        let hash_of = |id: &u32| {
            let node = nodes.get(*id as usize);
            node.map_or(0, |node| hasher.hash_one((node.parent, &*node.key)))
        };
        by_key.insert_unique(hasher.hash_one((parent, key)), number, hash_of);
        Some(NodeId(number))
    }
}

impl Node {
    fn new(path: Arc<str>, name: Arc<str>, parent: NodeId, key: &str) -> Self {
        Node {
            path,
            name,
            parent,
            key: key.into(),
            first: None,
            next: None,
            batch: 0,
            columns: [None; KINDS],
            inner: None,
            entered: 0,
        }
    }

    fn revive(&mut self, batch: u64) {
        self.batch = batch;
        self.columns = [None; KINDS];
        self.inner = None;
        self.entered = 0;
    }
}
