//! A tournament: the smallest of many keys, each of which may change at any time.
//!
//! **Invariant:** every inner node is the smaller of its two children.

/// Keys by index. Changing one takes log₂ n comparisons, the smallest is at hand.
#[derive(Clone, Debug)]
pub(crate) struct MinTree<K> {
    /// Node `i` has children `2i` and `2i + 1`; the root is 1; leaves are the upper half.
    nodes: Vec<K>,
    /// What an index that was never set has.
    absent: K,
}

impl<K: Ord + Copy> MinTree<K> {
    /// A tree in which every key is `absent`, which no key exceeds.
    pub(crate) fn new(absent: K) -> Self {
        Self { nodes: vec![absent; 2], absent }
    }

    const fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    pub(crate) fn get(&self, index: usize) -> K {
        let node = self.leaves() + index;
        self.nodes.get(node).copied().unwrap_or(self.absent)
    }

    pub(crate) fn set(&mut self, index: usize, key: K) {
        if index >= self.leaves() {
            self.grow(index + 1);
        }
        let mut node = self.leaves() + index;
        self.nodes[node] = key;
        while node > 1 {
            node /= 2;
            let smaller = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
            if self.nodes[node] == smaller {
                return;
            }
            self.nodes[node] = smaller;
        }
    }

    /// The smallest key.
    pub(crate) fn min(&self) -> K {
        self.nodes[1]
    }

    /// The first index that has the smallest key.
    pub(crate) fn min_index(&self) -> usize {
        self.descend(1, self.min())
    }

    /// The first index from `from` on, round and round, whose key is at most `bound`.
    pub(crate) fn next_at_most(&self, from: usize, bound: K) -> Option<usize> {
        if self.min() > bound {
            return None;
        }
        let mut node = self.leaves() + from % self.leaves();
        if self.nodes[node] <= bound {
            return Some(node - self.leaves());
        }
        // Up until there is something to the right.
        while node > 1 {
            let right = node + 1;
            if node.is_multiple_of(2) && self.nodes[right] <= bound {
                return Some(self.descend(right, bound));
            }
            node /= 2;
        }
        Some(self.descend(1, bound))
    }

    /// The first leaf below `node` whose key is at most `bound`; there is one.
    fn descend(&self, mut node: usize, bound: K) -> usize {
        while node < self.leaves() {
            node *= 2;
            if self.nodes[node] > bound {
                node += 1;
            }
        }
        node - self.leaves()
    }

    fn grow(&mut self, len: usize) {
        let before = self.leaves();
        let leaves = len.next_power_of_two();
        let mut nodes = vec![self.absent; 2 * leaves];
        nodes[leaves..leaves + before].copy_from_slice(&self.nodes[before..]);
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].min(nodes[2 * node + 1]);
        }
        self.nodes = nodes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_scan_finds(
            changes in proptest::collection::vec((0_usize..40, 0_u32..6), 1..200),
            from in 0_usize..64,
            bound in 0_u32..6,
        ) {
            let mut tree = MinTree::new(u32::MAX);
            let mut keys = vec![u32::MAX; 64];
            for (index, key) in changes {
                tree.set(index, key);
                keys[index] = key;
                let min = keys.iter().copied().min().unwrap();
                prop_assert_eq!(tree.min(), min);
                let first = keys.iter().position(|k| *k == min).unwrap();
                prop_assert_eq!(tree.min_index(), first);
            }
            let leaves = tree.leaves();
            let round = (0..leaves).map(|i| (from % leaves + i) % leaves);
            let expected = round.into_iter().find(|i| keys[*i] <= bound);
            prop_assert_eq!(tree.next_at_most(from, bound), expected);
        }
    }
}
