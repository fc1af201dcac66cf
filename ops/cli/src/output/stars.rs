//! Star ratings as a drawing.

const STARS: u8 = 5;

/// `★★★½☆`; half stars are the smallest that a rating has.
pub(super) fn stars(rating: f64) -> String {
    (0..STARS)
        .map(|n| match rating - f64::from(n) {
            rest if rest >= 1.0 => '★',
            rest if rest >= 0.5 => '½',
            _ => '☆',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_star_has_its_drawing() {
        for (rating, drawing) in [
            (0.0, "☆☆☆☆☆"),
            (0.5, "½☆☆☆☆"),
            (3.5, "★★★½☆"),
            (5.0, "★★★★★"),
            (9.0, "★★★★★"),
            (-1.0, "☆☆☆☆☆"),
        ] {
            assert_eq!(stars(rating), drawing, "{rating}");
        }
    }
}
