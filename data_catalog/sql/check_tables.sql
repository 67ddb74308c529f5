-- What must never be: doubled keys, outcomes whose faces are not all there, present videos without an outcome, one content with two labels. Reads roles(video_key, sha256, label) for the videos that must have one; one row a finding, worst first.
WITH stored AS (
    SELECT video_sha256, count(*) AS faces
    FROM faces
    WHERE extraction = $extraction
    GROUP BY video_sha256
),
outcomes AS (
    SELECT video_sha256, faces_found FROM extraction_log WHERE extraction = $extraction
),
findings AS (
    SELECT 1 AS rank, 'video_key occurs twice in videos' AS finding, video_key AS example
    FROM videos GROUP BY video_key HAVING count(*) > 1
    UNION ALL
    SELECT 2, 'face_id occurs twice in faces', face_id
    FROM faces WHERE extraction = $extraction GROUP BY face_id HAVING count(*) > 1
    UNION ALL
    SELECT 3, 'a content has two outcomes in extraction_log', video_sha256
    FROM outcomes GROUP BY video_sha256 HAVING count(*) > 1
    UNION ALL
    SELECT 4, 'an outcome names other faces than are stored', outcomes.video_sha256
    FROM outcomes LEFT JOIN stored USING (video_sha256)
    WHERE outcomes.faces_found <> coalesce(stored.faces, 0)
    UNION ALL
    SELECT 5, 'a present video has no outcome', roles.video_key
    FROM roles LEFT JOIN outcomes ON outcomes.video_sha256 = roles.sha256
    WHERE outcomes.video_sha256 IS NULL
    UNION ALL
    SELECT 6, 'one content is labelled real and fake', min(video_key)
    FROM roles WHERE label <> 'unknown' GROUP BY sha256 HAVING count(DISTINCT label) > 1
)
SELECT finding, count(*) AS rows, min(example) AS example
FROM findings
GROUP BY rank, finding
ORDER BY rank
