-- Faces of main people to look at: of every dataset, label and manipulation at most $per_group, of as many videos as
-- there are, and $most in all, of every group alike many. md5 is read as a random rank, so that equal tables give equal
-- samples and a new video seldom changes the others.
WITH members AS (
    SELECT
        videos.dataset, videos.label, videos.manipulation, videos.sha256 AS video_sha256,
        min(videos.video_key) AS video_key,
        row_number() OVER (
            PARTITION BY videos.dataset, videos.label, videos.manipulation ORDER BY md5(videos.sha256), videos.sha256
        ) AS video_rank
    FROM videos
    JOIN extraction_log ON extraction_log.video_sha256 = videos.sha256
    WHERE videos.state = 'present'
        AND list_contains($datasets, videos.dataset)
        AND extraction_log.extraction = $extraction
        AND extraction_log.faces_found > 0
    GROUP BY videos.dataset, videos.label, videos.manipulation, videos.sha256
),
of_video AS (
    SELECT
        members.dataset, members.label, members.manipulation, members.video_sha256, members.video_key,
        members.video_rank, faces.face_id, faces.time_s,
        row_number() OVER (
            PARTITION BY members.dataset, members.label, members.manipulation, members.video_sha256
            ORDER BY md5(faces.face_id), faces.face_id
        ) AS face_rank
    FROM members
    JOIN faces ON faces.video_sha256 = members.video_sha256
    WHERE members.video_rank <= $per_group
        AND faces.extraction = $extraction
        AND faces.track_id = 0
),
of_group AS (
    SELECT
        dataset, label, manipulation, video_sha256, video_key, face_id, time_s,
        row_number() OVER (
            PARTITION BY dataset, label, manipulation ORDER BY face_rank, video_rank
        ) AS place
    FROM of_video
),
sample AS (
    SELECT dataset, label, manipulation, video_sha256, video_key, face_id, time_s, place
    FROM of_group
    WHERE place <= $per_group
    ORDER BY place, dataset, label DESC, manipulation
    LIMIT $most
)
SELECT dataset, label, manipulation, video_sha256, video_key, face_id, time_s
FROM sample
ORDER BY dataset, label DESC, manipulation, place
