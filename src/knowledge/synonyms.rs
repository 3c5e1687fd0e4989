//! Words that mean nearly the same when somebody asks how a thing works. General on purpose: no entry belongs to one
//! document or one question. Pure data.

use super::terms::{of_text, stem};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Characters of the longest Chinese phrase below.
pub const LONGEST: usize = 4;

/// The terms of each word or phrase that means nearly the same as `key`: a Chinese phrase, or the stem of an English
/// word.
pub fn of(key: &str) -> Vec<&'static [String]> {
    let groups = index().get(key).map(Vec::as_slice).unwrap_or_default();
    let others = groups.iter().flat_map(|group| group.iter()).filter(|member| member.key != key);
    others.map(|member| member.terms.as_slice()).collect()
}

struct Member {
    key: String,
    terms: Vec<String>,
}

/// Groups by the key of each member.
fn index() -> &'static HashMap<String, Vec<Arc<[Member]>>> {
    static INDEX: OnceLock<HashMap<String, Vec<Arc<[Member]>>>> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index: HashMap<String, Vec<Arc<[Member]>>> = HashMap::new();
        for group in GROUPS.lines() {
            let member = |word: &str| Member { key: stem(word).into_owned(), terms: of_text(word) };
            let group: Arc<[Member]> = group.split_whitespace().map(member).collect();
            for member in group.iter() {
                index.entry(member.key.clone()).or_default().push(group.clone());
            }
        }
        index
    })
}

/// One group a line.
const GROUPS: &str = "
start launch run boot begin
stop halt abort cancel interrupt terminate end quit shutdown
restart reboot relaunch
delete remove erase purge forget wipe clear drop
keep store save retain retention preserve hold
copy backup duplicate snapshot
restore recover recovery
error failure fail problem fault issue trouble wrong broken
crash die kill down
password secret credential token key
setting configuration config option parameter preference
set configure adjust define
change modify edit alter update
apply reload activate effect
install setup deploy
connect link attach integrate hook plug
model llm ai gpt
question query ask
answer reply respond response
document file doc paper
folder directory
person people user colleague employee member staff
bot assistant persona character
chat conversation talk dialogue thread
message text
slow delay late lag latency
fast quick speed rapid
limit maximum max cap quota restrict
long length big large size
wait queue pending
lost lose miss missing disappear vanish gone
repeat again retry redo twice regenerate
log journal
monitor watch observe metric measure
health alive ready status
address url link endpoint
browser web page
phone mobile smartphone
server machine host computer
cost price fee pay charge money expensive
safe secure security protect
allow permit permission access
block deny refuse forbid reject
administrator admin operator
remember memory history context recall
choose select pick decide
create add new
show display see view
language chinese english
group team department
picture image photo
verify check validate test
source citation reference quote
upgrade update version
same identical equal alike
receive get obtain arrive
twice double two
启动 开启 运行 打开 开始
停止 停 中断 终止 打断 停下
关闭 关掉 关机 退出
重启 重新启动
删除 删 清除 移除 清理 清空 抹掉
保存 保留 存 留 存放 存储 储存
备份 拷贝 复制 副本
恢复 还原 找回
错误 出错 故障 失败 问题 毛病 异常 报错
崩溃 挂 挂掉 宕机 死掉
密码 密钥 口令 凭证 凭据 令牌 机密
配置 设置 设定 参数 选项
修改 更改 改动 改 变更 更换 换 调整
生效 应用 重新加载 重载
安装 部署 搭建
连接 接入 对接 接上 连上 接 连
模型 大模型
提问 问题 问 询问
回答 回复 答复 答案 应答 回应 答
文档 文件 资料 材料
文件夹 目录
人员 用户 同事 员工 成员
机器人 助手
对话 会话 聊天
消息 信息 内容
慢 延迟 迟 卡
快 迅速 太快
上限 限制 最多 最大 限额 限
长度 太长 多长 字数
排队 等待 等 队列
丢失 丢 不见 消失 弄丢
重新 重复 再次 重来 重试 再来
日志 记录
监控 监测 指标 观察
健康 存活 就绪 状态
地址 网址 链接
网页 浏览器 页面
手机 移动端
服务器 机器 主机 电脑
费用 价格 多少钱 收费 花钱
安全 保护
允许 权限 许可 准许
拒绝 禁止 拦截 屏蔽
管理员 运维
记忆 记住 记得 历史 上下文
选择 挑选 决定 选
新建 添加 增加 新增 创建
显示 查看 看到 展示
图片 照片 截图
检查 校验 验证 测试
来源 出处 引用 依据
升级 更新 版本
忙 繁忙 拥挤
不理 没反应 没回 不回 没有回复 不回复
微信 企业微信 企微
公司 企业 单位
规章 制度 规定 规则
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_leads_to_its_group_and_none_is_longer_than_promised() {
        for member in GROUPS.split_whitespace() {
            assert!(index().contains_key(&*stem(member)), "{member}");
            if !member.is_ascii() {
                assert!(member.chars().count() <= LONGEST, "{member}");
            }
        }
        let has = |key: &str, terms: &[&str]| of(key).iter().any(|other| *other == terms);
        assert!(has("launch", &["start"]) && !has("launch", &["launch"]));
        assert!(has("拷贝", &["备份"]) && !has("拷贝", &["拷贝"]));
        assert!(has("删除", &["删"]) && has("还原", &["恢复"]));
        assert!(of("zebra").is_empty());
    }
}
