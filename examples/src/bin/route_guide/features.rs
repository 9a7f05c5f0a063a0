//! What the route guide knows: places of our own invention, with real coordinates so that distances make
//! sense.

use crate::routeguide::{Feature, Point, Rectangle};

/// Names with latitude and longitude in degrees times 10^7.
const FEATURES: [(&str, i32, i32); 16] = [
    ("Weathervane Barn, Mill Lane", 401_250_310, -748_011_420),
    ("Three Ponds", 402_417_905, -746_390_770),
    ("Lookout over the Gorge", 403_982_114, -745_227_036),
    ("Old Toll House, Turnpike 4", 405_506_287, -743_918_205),
    ("Bakery at the Crossroads", 406_730_062, -742_604_911),
    ("Tin Whistle Museum", 407_281_955, -741_159_238),
    ("Chestnut Row", 408_119_473, -740_032_667),
    ("Slate Quarry", 409_004_836, -747_215_590),
    ("Foundry Chimney", 410_367_221, -746_808_143),
    ("Covered Bridge, Heron Creek", 411_645_008, -745_573_329),
    ("Signal Tower", 412_208_764, -744_480_012),
    ("Apple Terrace", 413_591_347, -743_226_888),
    ("Narrow-Gauge Terminus", 415_072_690, -741_963_504),
    ("Two Sisters Rock", 416_484_125, -740_715_276),
    ("Glassworks, North Yard", 418_023_571, -739_304_617),
    ("Hermit's Spring", 419_316_042, -737_850_093),
];

/// All features, from south to north.
pub(crate) fn all() -> impl Iterator<Item = Feature> {
    FEATURES.iter().map(|&(name, latitude, longitude)| Feature {
        name: name.to_owned(),
        location: Some(Point { latitude, longitude }),
    })
}

/// The feature at a point.
pub(crate) fn at(point: Point) -> Option<Feature> {
    all().find(|feature| feature.location == Some(point))
}

/// The features inside of a rectangle, or on its edge.
pub(crate) fn inside(rectangle: &Rectangle) -> impl Iterator<Item = Feature> {
    let (a, b) = (rectangle.lo.unwrap_or_default(), rectangle.hi.unwrap_or_default());
    let between = |value: i32, a: i32, b: i32| (a.min(b)..=a.max(b)).contains(&value);
    all().filter(move |feature| {
        let point = feature.location.unwrap_or_default();
        between(point.latitude, a.latitude, b.latitude) && between(point.longitude, a.longitude, b.longitude)
    })
}

/// The length in metres of the shortest way over the globe from one point to another (haversine formula).
pub(crate) fn distance(from: Point, to: Point) -> f64 {
    const EARTH_RADIUS: f64 = 6_371_000.0;
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let half_latitude = (radians(to.latitude) - radians(from.latitude)) / 2.0;
    let half_longitude = (radians(to.longitude) - radians(from.longitude)) / 2.0;
    let a = half_latitude.sin().powi(2)
        + radians(from.latitude).cos() * radians(to.latitude).cos() * half_longitude.sin().powi(2);
    2.0 * EARTH_RADIUS * a.sqrt().atan2((1.0 - a).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_equator_is_ten_thousand_kilometres_long() {
        let start = Point { latitude: 0, longitude: 0 };
        let end = Point { latitude: 0, longitude: 900_000_000 };
        assert_eq!((distance(start, end) / 1000.0).round(), 10_008.0);
    }

    #[test]
    fn corners_of_a_rectangle_come_in_any_order() {
        let (lo, hi) =
            (Point { latitude: 0, longitude: -800_000_000 }, Point { latitude: 500_000_000, longitude: 0 });
        for rectangle in [Rectangle { lo: Some(lo), hi: Some(hi) }, Rectangle { lo: Some(hi), hi: Some(lo) }]
        {
            assert_eq!(inside(&rectangle).count(), FEATURES.len());
        }
    }
}
