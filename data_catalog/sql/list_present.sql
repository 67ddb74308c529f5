-- Every present video of some datasets, whatever it is for; the columns of assign_roles.
SELECT 'any' AS role, video_key, dataset, compression, sha256, uri, size_bytes, modified_ns, media, label, manipulation,
    identity, source_identity, original_key
FROM videos
WHERE state = 'present' AND list_contains($datasets, dataset)
ORDER BY video_key
