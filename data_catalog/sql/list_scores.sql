-- What a detector says of the present videos of some datasets, the most anomalous first; scores of an earlier content of
-- a video do not count. A video without a score, because it changed while it was read, is a row that says so.
SELECT videos.video_key, videos.uri, videos.label, coalesce(scores.status, 'failed') AS status,
    coalesce(scores.reason, 'not scored yet: it changed or went away while it was read; run again') AS reason,
    scores.score, scores.p_value, scores.is_anomalous, scores.differential, scores.fake_probability, scores.fusion,
    scores.track_id, coalesce(scores.tracks_judged, 0) AS tracks_judged, coalesce(scores.faces_used, 0) AS faces_used,
    coalesce(scores.pairs_used, 0) AS pairs_used, videos.sha256
FROM videos
LEFT JOIN scores
    ON scores.video_key = videos.video_key AND scores.video_sha256 = videos.sha256 AND scores.detector = $detector
WHERE videos.state = 'present' AND list_contains($datasets, videos.dataset)
ORDER BY scores.score DESC NULLS LAST, videos.video_key
