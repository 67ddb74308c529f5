-- What a detector says of the present videos of some datasets, the most anomalous first; scores of an earlier content of
-- a video do not count.
SELECT videos.video_key, videos.uri, videos.label, scores.status, scores.reason, scores.score, scores.p_value,
    scores.is_anomalous, scores.differential, scores.fake_probability, scores.fusion, scores.track_id,
    scores.tracks_judged, scores.faces_used, scores.pairs_used, videos.sha256
FROM videos
JOIN scores
    ON scores.video_key = videos.video_key AND scores.video_sha256 = videos.sha256 AND scores.detector = $detector
WHERE videos.state = 'present' AND list_contains($datasets, videos.dataset)
ORDER BY scores.score DESC NULLS LAST, videos.video_key
