-- The present contents without an outcome yet under this extraction, once each, in the order of their digests: rows of
-- a shard then lie close together and readers can skip the files of others. An outcome whose faces are no longer all
-- there does not count. Reads roles(video_key, sha256, uri, size_bytes, modified_ns,
-- media).
WITH stored AS (
    SELECT video_sha256, count(*) AS faces
    FROM faces
    WHERE extraction = $extraction
    GROUP BY video_sha256
),
done AS (
    SELECT extraction_log.video_sha256
    FROM extraction_log
    LEFT JOIN stored USING (video_sha256)
    WHERE extraction_log.extraction = $extraction
        AND extraction_log.faces_found = coalesce(stored.faces, 0)
)
SELECT
    min(roles.video_key) AS video_key,
    roles.sha256,
    arg_min(roles.uri, roles.video_key) AS uri,
    arg_min(roles.size_bytes, roles.video_key) AS size_bytes,
    arg_min(roles.modified_ns, roles.video_key) AS modified_ns,
    arg_min(roles.media, roles.video_key) AS media
FROM roles
ANTI JOIN done ON done.video_sha256 = roles.sha256
GROUP BY roles.sha256
ORDER BY roles.sha256
