-- What each video is for. Reads dataset_roles(dataset, role, split): the backbone learns from `train`, the density from
-- `density`, the backbone is watched on `validation`, the detector is calibrated on `calibration` and judged on `test`.
-- A dataset without quality levels has compression NULL and fits every wish; a video of no official split is of `none`.
-- A video whose label is unknown is for nothing.
-- Test videos may be of several qualities ($test_compressions), everything else is of one.
SELECT dataset_roles.role, videos.video_key, videos.dataset, videos.compression, videos.sha256, videos.uri,
    videos.size_bytes, videos.modified_ns, videos.media, videos.label, videos.manipulation, videos.identity,
    videos.source_identity, videos.original_key
FROM videos
JOIN dataset_roles
    ON dataset_roles.dataset = videos.dataset AND dataset_roles.split = coalesce(videos.split, 'none')
WHERE videos.state = 'present'
    AND (videos.label = 'real' OR dataset_roles.role = 'test' AND videos.label = 'fake')
    AND CASE
        WHEN videos.compression IS NULL THEN true
        WHEN dataset_roles.role = 'test' THEN list_contains($test_compressions, videos.compression)
        WHEN dataset_roles.role = 'calibration' THEN videos.compression = $test_compressions[1]
        ELSE videos.compression = $train_compression
    END
ORDER BY dataset_roles.role, videos.video_key
