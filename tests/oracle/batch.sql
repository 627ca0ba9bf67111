-- The batch oracle, last part: from visits to counts and live candidates.

-- 4. Counting. Accounts of one visit by two feeds count once: same facility and kind, arrivals within two hours, or
-- an overlap and departures within two hours.
create table once as
with pairs as (
  select v.patient, v.visit, w.patient as other_patient, w.visit as other_visit,
         (w.arrived, w.patient, w.visit) < (v.arrived, v.patient, v.visit) as is_earlier
  from visits v join visits w on w.member = v.member and (w.patient, w.visit) <> (v.patient, v.visit)
    and w.status in ('open', 'closed') and w.facility = v.facility and w.facility <> '' and w.kind = v.kind
    and (abs(w.arrived - v.arrived) <= 7200000
         or (w.arrived < v.departed and v.arrived < w.departed and abs(w.departed - v.departed) <= 7200000)))
select v.* replace (coalesce(v.out, twin.out) as out, coalesce(v.departed, twin.departed) as departed,
                    if(v.departed is null, coalesce(twin.disposition, ''), v.disposition) as disposition)
from (select * from visits v where status in ('open', 'closed') and kind <> 'other' and not exists (
        select 1 from pairs p where p.patient = v.patient and p.visit = v.visit and is_earlier)) v
left join lateral (
  select max(w.out) as out, max(w.departed) as departed, max(w.disposition) as disposition
  from pairs p join visits w on w.patient = p.other_patient and w.visit = p.other_visit
  where p.patient = v.patient and p.visit = v.visit and w.status = 'closed') twin on true;

-- Who was sent to another hospital (UB-04 patient status), and who went home, against advice, or into custody.
create macro sent_on(status) as status in ('02','05','43','62','63','65','66','70','82','85','88','90','91','93','94','95');
create macro gone(status) as status in ('01','06','07','21','81','86','87');

-- An ED visit and the stay that it became.
create table became as
select e.patient, e.visit, s.patient as stay_patient, s.visit as stay
from once e join once s on s.member = e.member and e.kind = 'ed' and s.kind = 'stay' and s.start >= e.start
where (((s.facility = e.facility and e.facility <> '') or (e.disposition = '09' and coalesce(s.facility, '') = ''))
       and s.start <= case when e.departed is null then e.start + 172800000
                           when gone(e.disposition) then e.departed + 7200000 else e.departed + 86400000 end)
   or (e.departed is not null and (sent_on(e.disposition) or e.disposition = '09') and s.day <= e.out + 1);

create table stays as
select *,
  -- The earlier stay that ended last.
  arg_max({departed: departed, out: out, disposition: disposition}, (departed, start, patient, visit))
    filter (departed is not null) over earlier as before,
  max(if(disposition between '81' and '95', out + 30, null)) over earlier as planned_until,
  exists (select 1 from codes c, unnest(diagnoses) d(code) where c.name in ('DELIVERY', 'NEWBORN') and starts_with(code, c.prefix))
    as birth,
  began_in_ed or exists (select 1 from became b where b.stay_patient = once.patient and b.stay = once.visit) as through_ed
from once where kind = 'stay'
window earlier as (partition by member order by start, patient, visit rows between unbounded preceding and 1 preceding);

-- A nursing-facility stay continues the one that ended last: the same facility within seven days, another within one.
create table nursing as
with placed as (
  select *, row_number() over (partition by member order by start, patient, visit) as place from once where kind = 'snf'),
linked as (
  select p.*, (
    select if(l.departed is null, l.facility = p.facility and p.facility <> '',
              p.day - l.out <= if(l.facility = p.facility, 7, 1))
    from placed l where l.member = p.member and l.place = p.last_place) as continues
  from (select *, arg_max(place, (coalesce(departed, 9000000000000), place)) over (
          partition by member order by place rows between unbounded preceding and 1 preceding) as last_place
        from placed) p)
select *, if(coalesce(continues, false), last_place, null) as parent from linked;

create table accounts as
with recursive up(member, place, root) as (
  select member, place, coalesce(parent, place) from nursing
  union
  select up.member, up.place, n.parent from up join nursing n on n.member = up.member and n.place = up.root
  where n.parent is not null)
select member, place, min(root) as root from up group by member, place;

create table ends as
select a.member, a.root as place, bool_or(n.departed is null) as is_open, max(n.out) as out
from accounts a join nursing n using (member, place) group by a.member, a.root;

create table counted as
select member, patient, visit, 'stay' as kind, start, day, 4000000 as until from stays
where not birth and class <> 'newborn' and coalesce(admission_type, '') not in ('4', 'L', 'N')
  and not coalesce(start <= before.departed + 21600000 or (sent_on(before.disposition) and day <= before.out + 1), false)
  and (through_ed or not (coalesce(admission_type, '') in ('3', 'C')
    or (day <= coalesce(planned_until, -1) and coalesce(admission_type, '') not in ('1', '2', '5'))))
union all
select n.member, n.patient, n.visit, 'snf', n.start, n.day, if(e.is_open or e.out - n.day > 90, n.day + 91, 4000000)
from nursing n join ends e using (member, place) where n.parent is null
union all
select member, patient, visit, 'ed', start, day, 4000000 from (
  select *, row_number() over (partition by member, day order by start, patient, visit) as place from once e
  where kind = 'ed' and not exists (select 1 from became b where b.patient = e.patient and b.visit = e.visit))
where place = 1;

create table counts as
select member, months, count(*) filter (kind = 'ed') as ed, count(*) filter (kind = 'stay') as inpatient,
       count(*) filter (kind = 'snf') as snf
from counted, (values (6), (12)) w(months), end_at
where day between back(today, months) and today and today < until group by member, months;

-- 5. Where a criterion of counts is met: day by day; a day begins with what is left of those before.
create table spans as
with rules(population, months, eds, stays) as (values ('2a', 6, 5, 3), ('2c', 12, 3, 2)),
grid as (
  select c.member, r.*, g.day from (select member, min(day) as low, count(*) as n from counted group by member) c, rules r,
    end_at, unnest(range(c.low, today + 1)) g(day) where c.n >= least(r.eds, r.stays)),
met as (
  select g.member, g.population, g.day,
    count(*) filter (c.kind = 'ed') >= any_value(eds) or count(*) filter (c.kind <> 'ed') >= any_value(stays) as by_night,
    count(*) filter (c.kind = 'ed' and c.day < g.day) >= any_value(eds)
      or count(*) filter (c.kind <> 'ed' and c.day < g.day) >= any_value(stays) as at_dawn
  from grid g join counted c on c.member = g.member and c.day between back(g.day, g.months) and g.day and g.day < c.until
  group by g.member, g.population, g.day),
begun as (
  select *, by_night and not (at_dawn and coalesce(lag(by_night and day = day) over w, false)
                              and coalesce(lag(day) over w, -1) = day - 1) as opens
  from met window w as (partition by member, population order by day)),
numbered as (select *, sum(opens::int) over (partition by member, population order by day) as n from begun where by_night)
select member, population, min(day) as first, max(day) as last, min(day) as opened,
       (select list(c.visit) from counted c where c.member = numbered.member and c.day = min(numbered.day)) as openers
from numbered group by member, population, n;

-- 6. Where a release opens population 4.
create table freed as
select r.member, r.record, r.moment, r.facility_type, day_of(r.moment) as day from released r;

create table shown as
select v.member, min(v.start) as moment from visits v, unnest(v.diagnoses) d(code), codes c
where v.status in ('open', 'closed') and c.name in ('MENTAL','SUD','JI_CHRONIC','IDD','TBI','HIV','PREGNANT')
  and starts_with(code, c.prefix) group by v.member;

insert into spans
select f.member, '4a', greatest(f.day, day_of(s.moment)), back(f.day, -12), f.day, [f.record]
from freed f join shown s using (member) where day_of(s.moment) < back(f.day, -12)
union all
select f.member, '4y',
  if(f.facility_type = 'youth-facility', f.day, greatest(f.day, date '2026-01-01' - date '1970-01-01')),
  back(f.day, -12), f.day, [f.record]
from freed f join roster p using (member)
where (f.day < back(p.born, -252) or (list_contains(p.aid_codes, '4M') and f.day < back(p.born, -312)))
  and (f.facility_type = 'youth-facility' or back(f.day, -12) >= date '2026-01-01' - date '1970-01-01');

-- 7. Candidates: chains of spans with gaps of up to thirty days, cut to age and go-live, live today.
-- A county is the member's until the next span of enrollment begins; the first one is before that, too.
create table resided as
select member, county, if(n = 1, -1000000, begins) as begins, coalesce(next, 4000000) - 1 as ends
from (select *, row_number() over one as n, lead(begins) over one as next from enrolled
      window one as (partition by member order by coalesce(begins, -1000000)));

create table chains as
with cut as (
  select s.member, s.population, s.openers, least(s.last, r.ends) as last,
    greatest(s.first, r.begins, g.day, if(s.population in ('2a', '4a'), back(p.born, -252), 0)) as first,
    s.opened, greatest(g.day, r.begins, if(s.population in ('2a', '4a'), back(p.born, -252), 0)) <= s.first as arrives
  from spans s join roster p using (member) join resided r using (member)
  join served g on g.population = s.population and g.county = r.county
  where s.population <> '2c' or s.opened < back(p.born, -252)),
kept as (select *, max(last) over (partition by member, population order by first, opened
           rows between unbounded preceding and 1 preceding) as before from cut where first <= last),
marked as (select *, case when before is null then 1 when first - before - 1 > 30 then 1
                          when first - before - 1 = 30 and arrives then 1 else 0 end as breaks from kept),
grouped as (select *, sum(breaks) over (partition by member, population order by first, opened) as chain from marked)
select member, population, min(first) as first, arg_min(openers, (first, opened)) as openers,
       bool_or(first <= today and today <= last) as live
from grouped, end_at group by member, population, chain;

create table candidates as
select c.member, c.population, c.openers from chains c join roster p using (member), end_at
where c.live
  and exists (select 1 from enrolled e where e.member = c.member and e.plan <> ''
    and coalesce(e.begins, -1) <= c.first and c.first <= coalesce(e.ends, 4000000))
  and not exists (select 1 from programmes g join excludes x using (id) where g.member = c.member and g.verified
    and coalesce(g.begins, -1) <= today and today <= coalesce(g.ends, 4000000)
    and coalesce(x.begins, -1) <= today and today <= coalesce(x.ends, 4000000))
  and c.member not in (select member from dead)
  and not (p.ecm = 'enrolled' and coalesce(p.ecm_from, -1) <= today and today <= coalesce(p.ecm_to, 4000000));
