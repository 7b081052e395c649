"""N jobs of APScheduler that start CHILD STAMPS at the same second: apscheduler_peer.py CHILD STAMPS SLOT N"""
import datetime
import subprocess
import sys
import time

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

child, stamps, slot, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(32)},
                                job_defaults={"misfire_grace_time": None}, timezone=datetime.timezone.utc)
when = datetime.datetime.fromtimestamp(slot, datetime.timezone.utc)
for i in range(count):
    scheduler.add_job(subprocess.run, "date", args=[[child, stamps]], run_date=when, id=str(i))
scheduler.start()
while True:
    time.sleep(60)
