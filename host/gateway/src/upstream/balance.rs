//! Which of several equal connections gets a call: the one with fewer calls in flight of two picked at random. Nearly as
//! even as looking at all of them, and calls that come at once do not all choose the same one.

use super::dice::Dice;

/// One of the candidates; None when there are none. `load` is how busy one is.
pub(super) fn least_of_two<'a, T>(
    candidates: &'a [T],
    dice: &Dice,
    load: impl Fn(&T) -> usize,
) -> Option<&'a T> {
    let (first, second) = match candidates.len() {
        0 | 1 => return candidates.first(),
        count => {
            let first = dice.below(count);
            // One of the others.
            (first, (first + 1 + dice.below(count - 1)) % count)
        }
    };
    let (first, second) = (candidates.get(first)?, candidates.get(second)?);
    Some(if load(second) < load(first) { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_busy_of_two_is_chosen() {
        let dice = Dice::of(1);
        assert_eq!(least_of_two(&[5, 3], &dice, |load| *load), Some(&3));
        assert_eq!(least_of_two(&[9], &dice, |load| *load), Some(&9));
        assert_eq!(least_of_two(&[], &dice, |load: &usize| *load), None);
    }

    #[test]
    fn calls_spread_over_all_and_never_to_the_busiest() {
        let (dice, mut loads) = (Dice::of(3), [0_usize; 4]);
        for _ in 0..4000 {
            let candidates = [0, 1, 2, 3];
            let chosen = *least_of_two(&candidates, &dice, |at| loads[*at]).unwrap();
            loads[chosen] += 1;
        }
        assert!(loads.iter().all(|load| (990..=1010).contains(load)), "{loads:?}");
        let busy = [7, 1, 1];
        assert!((0..100).all(|_| *least_of_two(&busy, &dice, |load| *load).unwrap() == 1));
    }
}
