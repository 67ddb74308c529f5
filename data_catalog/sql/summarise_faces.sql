-- How large, sharp and sure the faces of each dataset's present videos are: the 5 %, 50 % and 95 % quantiles, and how
-- many lie above one edge and up to the next. Counts below the first edge join the first bin; those above the last
-- edge come last. Content under two names counts once a dataset.
WITH contents AS (
    SELECT DISTINCT dataset, sha256 FROM videos WHERE state = 'present' AND list_contains($datasets, dataset)
),
measured AS (
    SELECT
        contents.dataset,
        greatest(
            faces.bbox_xyxy_px[3] - faces.bbox_xyxy_px[1], faces.bbox_xyxy_px[4] - faces.bbox_xyxy_px[2]
        )::DOUBLE AS size_px,
        faces.sharpness::DOUBLE AS sharpness,
        faces.detector_score::DOUBLE AS detector_score
    FROM faces
    JOIN contents ON contents.sha256 = faces.video_sha256
    WHERE faces.extraction = $extraction
)
SELECT
    dataset,
    count(*) AS faces,
    quantile_cont(size_px, [0.05, 0.5, 0.95]) AS size_px_quantiles,
    quantile_cont(sharpness, [0.05, 0.5, 0.95]) AS sharpness_quantiles,
    quantile_cont(detector_score, [0.05, 0.5, 0.95]) AS detector_score_quantiles,
    map_values(histogram(size_px, $size_px_edges)) AS size_px_counts,
    map_values(histogram(sharpness, $sharpness_edges)) AS sharpness_counts,
    map_values(histogram(detector_score, $detector_score_edges)) AS detector_score_counts
FROM measured
GROUP BY dataset
ORDER BY dataset
