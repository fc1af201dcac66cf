//! Star ratings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::id;
use crate::placement;

/// How well hosts suit a machine, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ratings {
    pub ratings: Vec<Rating>,
}

impl From<placement::RateResponse> for Ratings {
    fn from(message: placement::RateResponse) -> Self {
        let placement::RateResponse { ratings } = message;
        Self {
            ratings: ratings.into_iter().map(Into::into).collect(),
        }
    }
}

/// How well one host suits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rating {
    pub host_id: String,
    pub host_name: String,
    pub group_id: Option<String>,
    /// 0 to 5 in halves.
    pub stars: f64,
    /// The exact rating, 0 to 5.
    pub score: f64,
    /// What each resource took away.
    pub resources: Vec<ResourceRating>,
    /// Why the host has no stars: every check that failed.
    pub zero_reasons: Vec<Reason>,
}

impl From<placement::Rating> for Rating {
    fn from(message: placement::Rating) -> Self {
        let placement::Rating {
            host_id,
            host_name,
            half_stars,
            resources,
            zero_reasons,
            score,
            group_id,
        } = message;
        Self {
            host_id,
            host_name,
            group_id: id(group_id),
            stars: f64::from(half_stars) / 2.0,
            score,
            resources: resources.into_iter().map(Into::into).collect(),
            zero_reasons: zero_reasons.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourceRating {
    /// `cpu` or `memory`.
    pub resource: String,
    pub used_percent_before: f64,
    pub used_percent_after: f64,
    pub stars_lost: f64,
    /// One sentence with the numbers.
    pub explanation: String,
}

impl From<placement::ResourceRating> for ResourceRating {
    fn from(message: placement::ResourceRating) -> Self {
        let placement::ResourceRating {
            resource,
            used_percent_before,
            used_percent_after,
            stars_lost,
            explanation,
        } = message;
        Self {
            resource,
            used_percent_before,
            used_percent_after,
            stars_lost,
            explanation,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// `memory`, `disk`, `image`, `not_responding`, ...
    pub check: String,
    pub message: String,
    pub recommended_action: String,
}

impl From<placement::Reason> for Reason {
    fn from(message: placement::Reason) -> Self {
        let placement::Reason {
            check,
            message,
            recommended_action,
        } = message;
        Self {
            check,
            message,
            recommended_action,
        }
    }
}
